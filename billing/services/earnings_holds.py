"""An amount of a host's earnings is held for a case, and released or kept. The rest is paid as usual.

Each function holds the lock of the host's earnings, under which payouts are made too: a payout sees a hold whole or was
made before it, and is then recalled if it has not left.
"""

from datetime import datetime
from uuid import uuid4

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import F

from billing import hooks, locks
from billing.domain.adjustments import ADJUSTMENT, REQUESTED
from billing.domain.errors import HoldStateError, MissingReasonError, NotStaffError
from billing.domain.money import format_dollars
from billing.domain.payout_holds import HELD, OPEN, RELEASED, TRANSITIONS, UPHELD, covered_micros
from billing.domain.payouts import PayoutState
from billing.models import AccountKind, AdjustmentRequest, Payout, PayoutHold
from billing.selectors.balances import posted_balance_micros
from billing.services.accounts import accounts_ensure
from billing.services.adjustments import adjustment_request
from billing.services.payout_states import payout_move


@transaction.atomic
def earnings_hold(
    *, host_id: int, reference: str, earner: str, since: datetime, amount_micros: int, reason: str, now: datetime
) -> PayoutHold | None:
    """Hold what ``earner`` earned the host since then, by a rule of the marketplace; None where that is nothing.

    What was paid already is held of what the host earns next. The same reference again is the same hold.
    """
    if amount_micros <= 0:
        return None
    accounts_ensure(AccountKind.HOST_EARNINGS, [host_id])
    locks.host_accounts([host_id])
    facts = {"host_id": host_id, "earner": earner, "since": since, "held_at": now, "amount_micros": amount_micros}
    hold, created = PayoutHold.objects.get_or_create(reference=reference, defaults={**facts, "reason": reason[:300]})
    if created:
        for payout in Payout.objects.filter(host_id=host_id, state=PayoutState.CREATED):
            _recall(payout, hold, now)
    return hold


def payouts_recall_held(*, now: datetime) -> int:
    """Recall payouts older than a hold of their host that have not left: a provider's refusal may have brought one back
    since. Returns how many."""
    older = Payout.objects.filter(
        state=PayoutState.CREATED,
        host__payout_holds__state__in=OPEN,
        host__payout_holds__held_at__gt=F("created_at"),
    )
    return sum(_recall_of(payout, now) for payout in older.distinct())


@transaction.atomic
def _recall_of(payout: Payout, now: datetime) -> bool:
    locks.host_accounts([payout.host_id])
    hold = PayoutHold.objects.filter(host_id=payout.host_id, state__in=OPEN).order_by("-held_at").first()
    return hold is not None and _recall(payout, hold, now)


def _recall(payout: Payout, hold: PayoutHold, now: datetime) -> bool:
    reason = f"Part of it is held: {hold.reason}"
    return payout_move(payout=payout, to=PayoutState.RECALLED, now=now, reason=reason, changes={"ended_at": now})


@transaction.atomic
def earnings_uphold_by_rule(*, reference: str) -> bool:
    """The case was decided against the host: the amount stays held until staff release or keep it. Whether it was
    held."""
    hold = _locked(PayoutHold.objects.filter(reference=reference, state=HELD).first())
    return hold is not None and hold.state == HELD and _move(hold, UPHELD, None)


@transaction.atomic
def earnings_release_by_rule(*, reference: str, now: datetime) -> bool:
    """The case came to nothing: the amount is paid with the next payout. Whether it was held."""
    hold = _locked(PayoutHold.objects.filter(reference=reference, state__in=OPEN).first())
    return hold is not None and hold.state in OPEN and _move(hold, RELEASED, now)


@transaction.atomic
def earnings_release(*, hold_id: int, actor: AbstractBaseUser, now: datetime) -> PayoutHold:
    """Staff let the amount go. Raises NotStaffError, HoldStateError where it is not held any more."""
    _check_staff(actor)
    hold = _known(hold_id)
    _move(hold, RELEASED, now)
    said = f"${format_dollars(hold.amount_micros)} were held: {hold.reason}"
    hooks.money().audited(
        action="payouts.released", actor_id=actor.pk, owner_id=hold.host_id, message=said[:300], now=now
    )
    return hold


@transaction.atomic
def earnings_forfeit(*, hold_id: int, actor: AbstractBaseUser, reason: str, now: datetime) -> AdjustmentRequest:
    """Staff ask to keep what is there of the amount of a case that was upheld; as with all money that is taken from
    somebody, another one has to agree. The hold ends with that.

    Raises NotStaffError, MissingReasonError, HoldStateError where it is not upheld, asked for already, or not earned.
    """
    _check_staff(actor)
    if not reason.strip():
        raise MissingReasonError("Say why the amount is kept.")
    hold = _known(hold_id)
    if hold.state != UPHELD:
        raise HoldStateError(f"The amount of {hold} is {hold.state}; only one that was upheld can be kept.")
    if hold.forfeiture is not None and hold.forfeiture.state == REQUESTED:
        raise HoldStateError(f"That was asked for already: request {hold.forfeiture.pk} waits for a second person.")
    hold.forfeiture = adjustment_request(
        kind=ADJUSTMENT,
        owner=hold.host,
        account_kind=AccountKind.HOST_EARNINGS,
        amount_micros=-_there(hold),
        actor=actor,
        reason=reason.strip()[:300],
        key=uuid4(),
        now=now,
    )
    hold.save(update_fields=["forfeiture"])
    return hold.forfeiture


def _there(hold: PayoutHold) -> int:
    """How much of the hold can be kept: what the host has, less what others of its holds are about to take."""
    (account,) = locks.host_accounts([hold.host_id])
    asked = AdjustmentRequest.objects.filter(payout_holds__host_id=hold.host_id, state=REQUESTED)
    promised = -sum(asked.values_list("amount_micros", flat=True))
    there = covered_micros(hold.amount_micros, posted_balance_micros(account) - promised)
    if not there:
        raise HoldStateError(f"The host has nothing now of what is held for {hold}.")
    return there


def _known(hold_id: int) -> PayoutHold:
    hold = _locked(PayoutHold.objects.filter(pk=hold_id).first())
    if hold is None:
        raise HoldStateError("There is no such hold.")
    return hold


def _locked(hold: PayoutHold | None) -> PayoutHold | None:
    """The hold as it is under the lock of its host's earnings."""
    if hold is None:
        return None
    locks.host_accounts([hold.host_id])
    return PayoutHold.objects.select_related("host", "forfeiture").get(pk=hold.pk)


def _move(hold: PayoutHold, to: str, ended_at: datetime | None) -> bool:
    if to not in TRANSITIONS[hold.state]:
        raise HoldStateError(f"The amount of {hold} is {hold.state} already.")
    hold.state, hold.ended_at = to, ended_at
    hold.save(update_fields=["state", "ended_at"])
    return True


def _check_staff(actor: AbstractBaseUser) -> None:
    if not getattr(actor, "is_staff", False):
        raise NotStaffError("Only staff decide what becomes of what is held.")
