"""Credit that staff give."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import F

from billing import locks
from billing.domain.entries import EntryDraft, Line
from billing.domain.errors import IdempotencyConflictError, MissingReasonError, NotStaffError
from billing.domain.money import check_positive_amount
from billing.models import AccountKind, Entry, EntryKind, LedgerAccount
from billing.services.accounts import accounts_ensure, system_account_id
from billing.services.depletion import zero_at_refresh
from billing.services.ledger import entries_post


@transaction.atomic
def credit_grant(
    *,
    user: AbstractBaseUser,
    amount_micros: int,
    actor: AbstractBaseUser | None,
    reason: str,
    idempotency_key: str,
    now: datetime,
) -> Entry:
    """Gives a client credit, from the adjustments account. ``actor`` is a member of staff; None is the
    system.

    The same key again returns the entry it made the first time. Raises InvalidAmountError (not more than
    zero), MissingReasonError, NotStaffError, and IdempotencyConflictError when the key was used for
    something else.
    """
    check_positive_amount(amount_micros)
    if not reason.strip():
        raise MissingReasonError("Say why the credit is given.")
    if actor is not None and not getattr(actor, "is_staff", False):
        raise NotStaffError("Only staff may give credit.")
    accounts_ensure(AccountKind.CLIENT_CREDIT, [user.pk])
    account = locks.client_accounts([user.pk])[0]
    draft = EntryDraft(
        idempotency_key=f"grant:{idempotency_key}",
        kind=EntryKind.CREDIT_GRANT,
        memo=reason.strip(),
        occurred_at=now,
        actor_id=None if actor is None else actor.pk,
        lines=(
            Line(system_account_id(AccountKind.ADJUSTMENTS), -amount_micros),
            Line(account.pk, amount_micros),
        ),
    )
    return _post_once(draft, account.pk, user.pk, now)


def _post_once(draft: EntryDraft, account_id: int, owner_id: int, now: datetime) -> Entry:
    earlier = Entry.objects.filter(idempotency_key=draft.idempotency_key)
    try:
        if earlier.exists():
            return _same(earlier.get(), draft)
        with transaction.atomic():
            entry = Entry.objects.get(pk=entries_post([draft])[0])
            given = sum(line.amount_micros for line in draft.lines if line.account_id == account_id)
            LedgerAccount.objects.filter(pk=account_id).update(granted_micros=F("granted_micros") + given)
    except IntegrityError:
        # The same key for another account at the same moment: this account's lock does not hold that off.
        return _same(earlier.get(), draft)
    zero_at_refresh(owner_ids=[owner_id], now=now)
    return entry


def _same(entry: Entry, draft: EntryDraft) -> Entry:
    """The earlier entry when it says the same; the instants may differ, as they do when a request is
    repeated.
    """
    lines = set(entry.postings.values_list("account_id", "amount_micros"))
    wanted = {(line.account_id, line.amount_micros) for line in draft.moving_lines}
    if (entry.memo, entry.actor_id, lines) != (draft.memo, draft.actor_id, wanted):
        raise IdempotencyConflictError(f"The key {draft.idempotency_key!r} was used for a different credit.")
    return entry
