"""Payouts are sent, and their carriers asked what became of them. Nothing here waits for a network in a transaction.

The row is the queue. A worker claims it, calls the carrier, and writes down what it heard, each guarded by the state it
saw. One that dies leaves the payout ``sending``; when its lease is over the next asks for the same order, which a
carrier never carries twice.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from billing.domain.features import SEND_PAYOUTS
from billing.domain.payouts import SENT_ON, UNSENT, Outcome, PayoutState
from billing.features import feature_on
from billing.gateways.carrier import BusyError, RefusedError, UnknownOutcomeError
from billing.gateways.carriers import carrier
from billing.models import Payout
from billing.services.ledger import entries_post
from billing.services.payout_states import fee_draft, payout_move

LEASE = timedelta(minutes=10)
"""How long an order may be under way before another worker asks for it again."""
REMEMBERED_FOR = timedelta(days=29)
"""Providers know an order by its name for 30 days: after that only staff can say what became of it."""
PATIENCE = timedelta(hours=1)
"""After a carrier could not."""
FIRST_LOOK_AFTER = timedelta(minutes=5)
LOOK_EVERY = timedelta(hours=1)
LOOK_AFTER_PAID_EVERY = timedelta(days=1)
LOOK_AFTER_PAID_FOR = timedelta(days=14)
"""Banks send money back days after it seemed to have arrived. Later only an event has us look again."""
NO_MORE = timedelta(days=36_500)
PER_RUN = 200


def payouts_send(*, now: datetime) -> int:
    """Sends payouts that are due, oldest first, one after the other, unless that is switched off; returns how many
    left."""
    if not feature_on(SEND_PAYOUTS):
        return 0
    due = _to_send(now).order_by("next_at", "pk").values_list("pk", flat=True)
    return sum(payout_send(payout_id=pk, now=now) for pk in list(due[:PER_RUN]))


def payout_send(*, payout_id: int, now: datetime) -> bool:
    """Sends this payout if it is due and nobody else is at it; whether it left."""
    payout = _to_send(now).filter(pk=payout_id).select_related("run").first()
    if payout is None:
        return False
    again = payout.state == PayoutState.SENDING
    if not _claim(payout, now):
        return False
    try:
        outcome = carrier(payout.provider).send(payout.order, again=again)
    except RefusedError as error:
        payout_move(payout=payout, to=PayoutState.FAILED, now=now, reason=str(error), changes={"ended_at": now})
    except BusyError as error:
        changes = {"attempt": payout.attempt + error.is_kept, "next_at": now + PATIENCE}
        payout_move(payout=payout, to=PayoutState.CREATED, now=now, reason=str(error), changes=changes)
    except UnknownOutcomeError as error:
        Payout.objects.filter(pk=payout.pk, state=PayoutState.SENDING).update(reason=str(error)[:300])
    else:
        return _apply(payout, outcome, now)
    return False


def payouts_look(*, now: datetime) -> int:
    """Asks carriers about payouts that were sent, those longest not asked about first; returns how many it asked."""
    due = Payout.objects.filter(state__in=SENT_ON, next_at__lte=now)
    ids = list(due.order_by("next_at", "pk").values_list("pk", flat=True)[:PER_RUN])
    for pk in ids:
        payout_look(payout_id=pk, now=now)
    return len(ids)


def payout_look(*, payout_id: int, now: datetime) -> None:
    """Asks the carrier what became of a payout that was sent, and writes it down; others stay as they are."""
    payouts = Payout.objects.filter(pk=payout_id, state__in=SENT_ON)
    payout = payouts.select_related("run").first()
    if payout is None:
        return
    payouts.update(next_at=now + _pause(payout, now))
    try:
        outcome = carrier(payout.provider).look(payout.order, payout.transfer_id, payout.item_id)
    except (BusyError, UnknownOutcomeError):
        return
    _apply(payout, outcome, now)


def _pause(payout: Payout, now: datetime) -> timedelta:
    """How long until it is asked about again without an event."""
    if payout.ended_at is None:
        return LOOK_EVERY
    return LOOK_AFTER_PAID_EVERY if now < payout.ended_at + LOOK_AFTER_PAID_FOR else NO_MORE


def payout_retry(*, payout_id: int, now: datetime) -> bool:
    """Makes an unsent payout due at once; False for others."""
    waiting = Payout.objects.filter(pk=payout_id, state=PayoutState.CREATED)
    return bool(waiting.update(next_at=now))


def _to_send(now: datetime) -> QuerySet[Payout]:
    """Held ones wait, but for those that may have left already."""
    new = Q(state=PayoutState.CREATED, next_at__lte=now)
    left_behind = Q(state=PayoutState.SENDING, claimed_at__lte=now - LEASE, created_at__gt=now - REMEMBERED_FOR)
    held = Q(state=PayoutState.CREATED, host__money_terms__payouts_held_reason__gt="")
    return Payout.objects.filter(new | left_behind).exclude(held)


def _claim(payout: Payout, now: datetime) -> bool:
    """Whether this worker has the payout now."""
    if payout.state == PayoutState.CREATED:
        return payout_move(payout=payout, to=PayoutState.SENDING, now=now, changes={"claimed_at": now})
    seen = Payout.objects.filter(pk=payout.pk, state=PayoutState.SENDING, claimed_at=payout.claimed_at)
    return bool(seen.update(claimed_at=now))


@transaction.atomic
def _apply(payout: Payout, outcome: Outcome, now: datetime) -> bool:
    """Walks the payout to where the carrier says it is; whether it was sent by this."""
    sent = False
    if payout.state in UNSENT:
        changes = {"transfer_id": outcome.transfer_id, "sent_at": now, "next_at": now + FIRST_LOOK_AFTER}
        sent = payout_move(payout=payout, to=PayoutState.SENT, now=now, changes=changes)
        if not sent:
            return False
    _note(payout, outcome, now)
    if outcome.state in (PayoutState.PAID, PayoutState.RETURNED) and payout.state != outcome.state:
        changes = {"ended_at": now, "next_at": now + LOOK_AFTER_PAID_EVERY}
        payout_move(payout=payout, to=outcome.state, now=now, reason=outcome.reason, changes=changes)
    return sent


def _note(payout: Payout, outcome: Outcome, now: datetime) -> None:
    """What else the carrier said: the item's name, why it waits, and once what it took for it."""
    rows = Payout.objects.filter(pk=payout.pk)
    if outcome.item_id and not payout.item_id:
        rows.update(item_id=outcome.item_id)
    if outcome.state == PayoutState.SENT and outcome.reason != payout.reason:
        rows.update(reason=outcome.reason[:300])
    if outcome.fee_micros and rows.filter(fee_micros=0).update(fee_micros=outcome.fee_micros):
        entries_post([fee_draft(payout, outcome.fee_micros, now)])
