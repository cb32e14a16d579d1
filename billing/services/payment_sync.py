"""Asking the provider how a payment stands, whatever the reason to ask."""

from datetime import datetime, timedelta

from django.db import transaction

from billing.domain.payment_states import CANCELED, IN_FLIGHT
from billing.gateways import stripe as gateway
from billing.models import BillingCustomer, Payment, PaymentPurpose
from billing.services.charging import charge_send
from billing.services.payment_facts import payment_apply
from billing.services.payment_rows import FIRST_CHECK_AFTER, payment_go, payment_locked

KEYS_LAST = timedelta(hours=20)
"""The provider remembers idempotency keys for a day; what is older is not asked again but looked for."""
CLOCKS_DIFFER = timedelta(hours=1)
EXPIRED = "expired"


def payment_sync(*, payment_id: int, reason: str, now: datetime, intent_id: str = "") -> None:
    """Make our payment what the provider says it is. Raises BillingError when that can't be had now.

    ``intent_id`` is the payment's number there as an event tells it, used where we don't know it ourselves.
    """
    payment = Payment.objects.select_related("card").get(pk=payment_id)
    page = _page_of(payment)
    known_as = payment.intent_id or intent_id or (_charged_as(payment, now) if page is None else page.intent_id)
    if known_as:
        payment_apply(payment_id=payment_id, facts=gateway.payment_facts(known_as), reason=reason, now=now)
    _end_if_over(payment_id, page, now)


def _page_of(payment: Payment) -> gateway.SessionFact | None:
    """How the provider's page stands, while that can make a difference."""
    if payment.session_id is None or payment.state not in IN_FLIGHT:
        return None
    return gateway.session_fact(payment.session_id)


def _charged_as(payment: Payment, now: datetime) -> str:
    """The provider's number of a charge whose answer was lost; empty when it never got there, or can't be reached.

    A request that is not too old is simply repeated with its key: it charges nothing more.
    """
    if payment.purpose != PaymentPurpose.AUTO or payment.state not in IN_FLIGHT:
        return ""
    if payment.created_at > now - KEYS_LAST:
        charge_send(payment_id=payment.pk, now=now)
        return Payment.objects.get(pk=payment.pk).intent_id or ""
    customer_id = BillingCustomer.objects.get(owner_id=payment.owner_id).provider_id
    since = payment.created_at - CLOCKS_DIFFER
    return gateway.intent_of(key=str(payment.key), customer_id=str(customer_id), since=since)


@transaction.atomic
def _end_if_over(payment_id: int, page: gateway.SessionFact | None, now: datetime) -> None:
    """Nobody waits for a page that is over, or that nobody was sent to, or for a charge that never arrived."""
    payment = payment_locked(payment_id)
    if payment.state not in IN_FLIGHT:
        return
    if page is not None and page.status == EXPIRED:
        payment_go(payment, CANCELED, "page_expired", now)
    elif payment.purpose == PaymentPurpose.PURCHASE and payment.session_id is None:
        if payment.created_at <= now - FIRST_CHECK_AFTER:
            payment_go(payment, CANCELED, "page_never_opened", now)
    elif payment.intent_id is None and page is None and payment.created_at <= now - KEYS_LAST:
        payment_go(payment, CANCELED, "never_arrived", now)
