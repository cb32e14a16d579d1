"""Asking the payment provider about what its webhooks should have told, and repeating what may not have arrived."""

from datetime import datetime, timedelta

import structlog
from django.db.models import F

from billing.domain.errors import BillingError
from billing.domain.stripe_events import TYPES
from billing.gateways import stripe as gateway
from billing.models import Payment, PaymentRefund, ProviderCursor
from billing.services.payment_sync import payment_sync
from billing.services.provider_events import event_receive
from billing.services.refunds import refund_send

log = structlog.get_logger(__name__)

PAUSES = (timedelta(minutes=2), timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
REFUND_PAUSE = timedelta(minutes=5)
ROWS_PER_RUN = 200
OVERLAP = timedelta(minutes=10)
FIRST_LOOK_BACK = timedelta(days=3)


def payments_reconcile(*, now: datetime) -> int:
    """Ask about every payment and refund that should have been heard of by ``now``; returns how many that were."""
    payments = Payment.objects.filter(check_at__lte=now).order_by("check_at", "pk")[:ROWS_PER_RUN]
    refunds = PaymentRefund.objects.filter(check_at__lte=now).order_by("check_at", "pk")[:ROWS_PER_RUN]
    asked = [_payment_check(payment, now) for payment in payments]
    return sum(asked + [_refund_check(refund, now) for refund in refunds])


def events_catch_up(*, now: datetime) -> int:
    """Write down the provider's events that no webhook brought; returns how many those were.

    Begins where the last look began, and some minutes before: events may become visible late.
    Raises PaymentsUnavailableError.
    """
    if not gateway.is_configured():
        return 0
    cursor = ProviderCursor.objects.filter(provider=gateway.PROVIDER).first()
    since = (cursor.read_until if cursor else now - FIRST_LOOK_BACK) - OVERLAP
    missed = [_receive(fact, now) for fact in gateway.events_since(since, TYPES)]
    ProviderCursor.objects.update_or_create(provider=gateway.PROVIDER, defaults={"read_until": now})
    return sum(missed)


def _receive(fact: gateway.EventFact, now: datetime) -> bool:
    return event_receive(
        provider=gateway.PROVIDER, event_id=fact.event_id, event_type=fact.type, payload=fact.payload, now=now
    )


def _payment_check(payment: Payment, now: datetime) -> bool:
    """Ask, unless somebody else does; the next time is further off."""
    pause = PAUSES[min(payment.checks_count, len(PAUSES) - 1)]
    mine = Payment.objects.filter(pk=payment.pk, check_at__lte=now)
    if not mine.update(check_at=now + pause, checks_count=F("checks_count") + 1):
        return False
    try:
        payment_sync(payment_id=payment.pk, reason="reconciliation", now=now)
    except BillingError as error:
        log.warning("payment_check_failed", payment=payment.pk, error=error.message)
    return True


def _refund_check(refund: PaymentRefund, now: datetime) -> bool:
    mine = PaymentRefund.objects.filter(pk=refund.pk, check_at__lte=now)
    if not mine.update(check_at=now + REFUND_PAUSE):
        return False
    refund_send(refund_id=refund.pk, now=now)
    return True
