"""Credit that staff give."""

from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import F

from billing import hooks, locks
from billing.domain.adjustments import CREDIT_GRANT
from billing.domain.entries import EntryDraft, Line
from billing.domain.errors import IdempotencyConflictError, MissingReasonError, NotStaffError, SecondPersonError
from billing.domain.money import check_positive_amount, exact_dollars
from billing.models import AccountKind, AdjustmentRequest, Entry, EntryKind, LedgerAccount
from billing.services.accounts import accounts_ensure, system_account_id
from billing.services.adjustments import adjustment_request
from billing.services.alone import alone_sentence, takes_two
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
    zero), MissingReasonError, NotStaffError, SecondPersonError (more than one person gives alone in a day), and
    IdempotencyConflictError when the key was used for something else.
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


@transaction.atomic
def credit_give(
    *,
    user: AbstractBaseUser,
    amount_micros: int,
    actor: AbstractBaseUser,
    reason: str,
    idempotency_key: str,
    now: datetime,
) -> Entry | AdjustmentRequest:
    """``credit_grant`` by a member of the staff; the request for somebody else to agree where it is too much for one.

    Raises as ``credit_grant`` does, but for SecondPersonError.
    """
    key = uuid5(NAMESPACE_URL, f"grant:{idempotency_key}")
    if not AdjustmentRequest.objects.filter(key=key).exists():
        try:
            return credit_grant(
                user=user,
                amount_micros=amount_micros,
                actor=actor,
                reason=reason,
                idempotency_key=idempotency_key,
                now=now,
            )
        except SecondPersonError:
            pass
    return adjustment_request(
        kind=CREDIT_GRANT,
        owner=user,
        account_kind=AccountKind.CLIENT_CREDIT,
        amount_micros=amount_micros,
        actor=actor,
        reason=reason,
        key=key,
        now=now,
    )


def _post_once(draft: EntryDraft, account_id: int, owner_id: int, now: datetime) -> Entry:
    earlier = Entry.objects.filter(idempotency_key=draft.idempotency_key)
    try:
        if earlier.exists():
            return _same(earlier.get(), draft)
        given = sum(line.amount_micros for line in draft.lines if line.account_id == account_id)
        if draft.actor_id is not None:
            _refuse_too_much(account_id, given, now)
        with transaction.atomic():
            entry = Entry.objects.get(pk=entries_post([draft])[0])
            LedgerAccount.objects.filter(pk=account_id).update(granted_micros=F("granted_micros") + given)
    except IntegrityError:
        # The same key for another account at the same moment: this account's lock does not hold that off.
        return _same(earlier.get(), draft)
    zero_at_refresh(owner_ids=[owner_id], now=now)
    if draft.actor_id is not None:
        credit_note(entry, owner_id=owner_id, amount_micros=given, now=now)
    return entry


def credit_note(entry: Entry, *, owner_id: int, amount_micros: int, now: datetime) -> None:
    """Write into the audit log that somebody gave credit."""
    said = f"${exact_dollars(amount_micros)}: {entry.memo}"
    hooks.money().audited(action="credit.granted", actor_id=entry.actor_id, owner_id=owner_id, message=said, now=now)


def _refuse_too_much(account_id: int, amount_micros: int, now: datetime) -> None:
    if takes_two(kind=CREDIT_GRANT, account_id=account_id, amount_micros=amount_micros, now=now):
        raise SecondPersonError(alone_sentence())


def _same(entry: Entry, draft: EntryDraft) -> Entry:
    """The earlier entry when it says the same; the instants may differ, as they do when a request is
    repeated.
    """
    lines = set(entry.postings.values_list("account_id", "amount_micros"))
    wanted = {(line.account_id, line.amount_micros) for line in draft.moving_lines}
    if (entry.memo, entry.actor_id, lines) != (draft.memo, draft.actor_id, wanted):
        raise IdempotencyConflictError(f"The key {draft.idempotency_key!r} was used for a different credit.")
    return entry
