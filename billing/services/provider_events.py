"""Events of payment providers: written down when they come, processed from their rows."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db.models import F

from billing.domain.errors import BillingError
from billing.domain.stripe_events import Subject, subject_of
from billing.gateways import carriers, stripe_connect
from billing.gateways import stripe as gateway
from billing.models import BillingCustomer, Payment, ProviderEvent
from billing.services.customers import cards_sync
from billing.services.payment_sync import payment_sync
from billing.services.payout_hints import paypal_payout_event, stripe_payout_event

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=1)
"""Nobody else takes an event up while one is at it."""
LONGEST_PAUSE = timedelta(hours=1)
TRIES = 20
EVENTS_PER_RUN = 200

Processor = Callable[[ProviderEvent, datetime], bool]
"""Takes an event up; False when it is not about anything of ours. Raises BillingError to try again later."""


def event_receive(*, provider: str, event_id: str, event_type: str, payload: dict[str, Any], now: datetime) -> bool:
    """Write an event down, once however often it is told; False when it was known. Whoever calls has verified it."""
    row = ProviderEvent(
        provider=provider,
        event_id=event_id,
        type=event_type[:100],
        payload=payload,
        received_at=now,
        next_attempt_at=now,
    )
    known = ProviderEvent.objects.filter(provider=provider, event_id=event_id).exists()
    ProviderEvent.objects.bulk_create([row], ignore_conflicts=True)
    return not known


def events_process(*, now: datetime) -> int:
    """Process what is due; returns how many were done with. One that fails waits, and holds up no other."""
    due = ProviderEvent.objects.filter(next_attempt_at__lte=now).order_by("next_attempt_at", "pk")
    return sum(_process(pk, now) for pk in list(due.values_list("pk", flat=True)[:EVENTS_PER_RUN]))


def _process(event_pk: int, now: datetime) -> bool:
    mine = ProviderEvent.objects.filter(pk=event_pk, next_attempt_at__lte=now)
    if not mine.update(next_attempt_at=now + LEASE, attempts=F("attempts") + 1):
        return False
    event = ProviderEvent.objects.get(pk=event_pk)
    try:
        is_ours = PROCESSORS[event.provider](event, now)
    except BillingError as error:
        log.warning("provider_event_waits", provider=event.provider, event_id=event.event_id, error=error.message)
        _failed(event, error.message, now)
        return False
    except Exception as error:  # a mistake of ours must not hold up the events of others
        log.exception("provider_event_failed", provider=event.provider, event_id=event.event_id)
        _failed(event, repr(error), now)
        return False
    state = ProviderEvent.State.PROCESSED if is_ours else ProviderEvent.State.IGNORED
    ProviderEvent.objects.filter(pk=event_pk).update(state=state, processed_at=now, next_attempt_at=None, error="")
    return True


def _failed(event: ProviderEvent, error: str, now: datetime) -> None:
    """Wait longer each time, and in the end leave it to staff."""
    rows = ProviderEvent.objects.filter(pk=event.pk)
    if event.attempts >= TRIES:
        rows.update(state=ProviderEvent.State.FAILED, next_attempt_at=None, error=error[:300])
        return
    pause = min(timedelta(seconds=2 ** min(event.attempts, 12)), LONGEST_PAUSE)
    rows.update(next_attempt_at=now + pause, error=error[:300])


def stripe_event_process(event: ProviderEvent, now: datetime) -> bool:
    """Look at what the event is about, and ask Stripe how that stands. Raises BillingError."""
    data = event.payload.get("data") or {}
    subject = subject_of(event.type, data.get("object") or {}, data.get("previous_attributes") or {})
    if subject is None:
        return False
    if subject.customer_id:
        return _cards_of_customer(subject.customer_id, now)
    payment_id = _payment_id(subject)
    if payment_id is None:
        return False
    payment_sync(payment_id=payment_id, intent_id=subject.intent_id, reason=event.type, now=now)
    return True


def _cards_of_customer(customer_id: str, now: datetime) -> bool:
    owner_id = BillingCustomer.objects.filter(provider_id=customer_id).values_list("owner_id", flat=True).first()
    if owner_id is None:
        return False
    cards_sync(owner_id=owner_id, now=now)
    return True


def _payment_id(subject: Subject) -> int | None:
    """Our payment, by the first of its names that the event tells."""
    payments = Payment.objects.values_list("pk", flat=True)
    names = {"key": _uuid(subject.payment_key), "intent_id": subject.intent_id, "session_id": subject.session_id}
    for name, value in names.items():
        found = payments.filter(**{name: value}).first() if value else None
        if found is not None:
            return found
    return None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _stripe_process(event: ProviderEvent, now: datetime) -> bool:
    """Payments, or else transfers to hosts."""
    return stripe_event_process(event, now) or stripe_payout_event(event, now)


PROCESSORS: dict[str, Processor] = {
    gateway.PROVIDER: _stripe_process,
    stripe_connect.EVENTS: stripe_payout_event,
    carriers.PAYPAL_EVENTS: paypal_payout_event,
}
