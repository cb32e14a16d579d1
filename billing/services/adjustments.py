"""Money that staff move by hand: asked for by one person, posted once another one agrees."""

from datetime import datetime
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import F

from billing import locks
from billing.domain.adjustments import (
    ADJUSTMENT,
    CREDIT_GRANT,
    GIVEN,
    KINDS,
    POSTED,
    REJECTED,
    TRANSITIONS,
    USAGE_REFUND,
)
from billing.domain.entries import EntryDraft, Line
from billing.domain.errors import (
    AdjustmentDecidedError,
    IdempotencyConflictError,
    InvalidAmountError,
    MissingReasonError,
    NotStaffError,
    SamePersonError,
)
from billing.domain.money import check_positive_amount
from billing.models import AccountKind, AdjustmentRequest, Entry, EntryKind, LedgerAccount
from billing.models.account import OWNED_KINDS
from billing.services.accounts import accounts_ensure, owned_account_ids, system_account_id
from billing.services.alone import takes_two
from billing.services.depletion import zero_at_refresh
from billing.services.forfeiting import holds_forfeit
from billing.services.ledger import entries_post

_ENTRY_KINDS = {
    ADJUSTMENT: EntryKind.ADJUSTMENT,
    USAGE_REFUND: EntryKind.USAGE_REFUND,
    CREDIT_GRANT: EntryKind.CREDIT_GRANT,
}


@transaction.atomic
def adjustment_request(
    *,
    kind: str,
    owner: AbstractBaseUser,
    account_kind: str,
    amount_micros: int,
    actor: AbstractBaseUser,
    reason: str,
    key: UUID,
    now: datetime,
) -> AdjustmentRequest:
    """Ask for an adjustment of an account, or for a client to be given use or credit; what is small is posted at once.

    ``amount_micros`` is to the credit of the owner; adjustments may be negative. The same key again is the same
    request. Raises InvalidAmountError, MissingReasonError, NotStaffError, IdempotencyConflictError.
    """
    _check(kind, account_kind, amount_micros, actor, reason)
    accounts_ensure(AccountKind(account_kind), [owner.pk])
    account_id = owned_account_ids(AccountKind(account_kind), [owner.pk])[owner.pk]
    if kind in GIVEN:
        locks.client_accounts([owner.pk])
    asked = {
        "kind": kind,
        "account_id": account_id,
        "amount_micros": amount_micros,
        "reason": reason.strip(),
        "requested_by_id": actor.pk,
    }
    request, created = AdjustmentRequest.objects.get_or_create(key=key, defaults={**asked, "requested_at": now})
    if any(getattr(request, name) != value for name, value in asked.items()):
        raise IdempotencyConflictError("This key was used for a different adjustment.")
    if created and not takes_two(kind=kind, account_id=account_id, amount_micros=amount_micros, now=now):
        _decide(request, POSTED, None, now)
    return request


def adjustment_approve(*, request_id: int, actor: AbstractBaseUser, now: datetime) -> AdjustmentRequest:
    """Agree to a request of somebody else's: it is posted, once.

    Raises NotStaffError, SamePersonError, AdjustmentDecidedError.
    """
    return _decided(request_id, POSTED, actor, now)


def adjustment_reject(*, request_id: int, actor: AbstractBaseUser, now: datetime) -> AdjustmentRequest:
    """Refuse a request of somebody else's: nothing moves. Raises as ``adjustment_approve``."""
    return _decided(request_id, REJECTED, actor, now)


@transaction.atomic
def _decided(request_id: int, state: str, actor: AbstractBaseUser, now: datetime) -> AdjustmentRequest:
    _check_staff(actor)
    request = locks.adjustment(request_id)
    if request.requested_by_id == actor.pk:
        raise SamePersonError("Somebody else has to decide about what you asked for.")
    _decide(request, state, actor, now)
    return request


def _decide(request: AdjustmentRequest, state: str, actor: AbstractBaseUser | None, now: datetime) -> None:
    if state not in TRANSITIONS[request.state]:
        raise AdjustmentDecidedError(f"Request {request.pk} is {request.state} already.")
    request.state, request.decided_at = state, now
    request.decided_by_id = None if actor is None else actor.pk
    if state == POSTED:
        holds_forfeit(request, now)
        request.entry = _post(request, now)
    request.save(update_fields=["state", "decided_by", "decided_at", "entry"])


def _post(request: AdjustmentRequest, now: datetime) -> Entry:
    account = request.account
    client_ids = [account.owner_id] if account.kind == AccountKind.CLIENT_CREDIT and account.owner_id else []
    locks.client_accounts(client_ids)
    against = system_account_id(AccountKind.REFUNDS if request.kind == USAGE_REFUND else AccountKind.ADJUSTMENTS)
    draft = EntryDraft(
        idempotency_key=f"adjustment:{request.pk}",
        kind=_ENTRY_KINDS[request.kind],
        memo=request.reason,
        occurred_at=now,
        actor_id=request.decided_by_id or request.requested_by_id,
        lines=(Line(request.account_id, request.amount_micros), Line(against, -request.amount_micros)),
        details={"requested_by": request.requested_by_id},
    )
    entry = Entry.objects.get(pk=entries_post([draft])[0])
    if request.kind == CREDIT_GRANT:
        speaks = F("granted_micros") + request.amount_micros
        LedgerAccount.objects.filter(pk=request.account_id).update(granted_micros=speaks)
    zero_at_refresh(owner_ids=client_ids, now=now)
    return entry


def _check(kind: str, account_kind: str, amount_micros: int, actor: AbstractBaseUser, reason: str) -> None:
    _check_staff(actor)
    check_positive_amount(amount_micros if kind in GIVEN else abs(amount_micros))
    if kind not in KINDS or account_kind not in OWNED_KINDS:
        raise InvalidAmountError(f"{kind!r} of {account_kind!r} is nothing that staff can ask for.")
    if kind in GIVEN and account_kind != AccountKind.CLIENT_CREDIT:
        raise InvalidAmountError("Only clients are given credit, or use back.")
    if not reason.strip():
        raise MissingReasonError("Say why the money moves.")


def _check_staff(actor: AbstractBaseUser) -> None:
    if not getattr(actor, "is_staff", False):
        raise NotStaffError("Only staff may move money by hand.")
