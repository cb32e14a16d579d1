"""Charging saved cards when balances have fallen under their thresholds."""

from datetime import datetime
from uuid import uuid4

from django.db import transaction

from billing.domain.auto_billing import charge_micros
from billing.domain.card_payments import cents_of
from billing.domain.depletion import balance_micros_at
from billing.domain.errors import PaymentRefusedError, PaymentsUnavailableError
from billing.domain.features import CHARGE_CARDS
from billing.domain.payment_states import CREATED, IN_FLIGHT, PROCESSING
from billing.features import feature_on
from billing.gateways import stripe as gateway
from billing.models import AutoBilling, BillingCustomer, Card, LedgerAccount, Payment, PaymentPurpose
from billing.selectors.auto_billing import due_owner_ids
from billing.selectors.wallets import client_wallets
from billing.services.auto_billing import payment_limits
from billing.services.payment_facts import payment_refused
from billing.services.payment_rows import owner_lock, payment_go, payment_locked, payment_make

CHARGE_NAME = "Credit for GPU computing"


def auto_billing_charge_due(*, now: datetime) -> int:
    """Charge everyone whose balance is under the threshold at ``now``; returns how many charges were sent.

    What can't be sent now is sent by the reconciliation: the payment is written down before. Nobody is charged while
    the feature is switched off.
    """
    if not feature_on(CHARGE_CARDS):
        return 0
    sent = 0
    for owner_id in due_owner_ids(now):
        payment = auto_payment_begin(owner_id=owner_id, now=now)
        if payment is not None:
            sent += charge_send(payment_id=payment.pk, now=now)
    return sent


@transaction.atomic
def auto_payment_begin(*, owner_id: int, now: datetime) -> Payment | None:
    """Write down that the client is to be charged, if it still is; at most one such payment is in flight."""
    account_id = owner_lock(owner_id)
    terms = AutoBilling.objects.get(owner_id=owner_id)
    due = LedgerAccount.objects.filter(pk=account_id, threshold_at__lte=now).exists()
    waits = terms.next_attempt_at is not None and terms.next_attempt_at > now
    in_flight = Payment.objects.filter(owner_id=owner_id, purpose=PaymentPurpose.AUTO, state__in=IN_FLIGHT).exists()
    card = Card.objects.filter(owner_id=owner_id, is_default=True).first()
    if not due or not terms.enabled or waits or in_flight or card is None:
        return None
    (wallet,) = client_wallets([owner_id])
    balance = balance_micros_at(wallet.posted_micros, wallet.meters, now)
    amount = charge_micros(terms.terms, balance, payment_limits())
    purpose = PaymentPurpose.AUTO
    return payment_make(owner_id=owner_id, key=uuid4(), purpose=purpose, amount_micros=amount, card=card, now=now)


def charge_send(*, payment_id: int, now: datetime) -> bool:
    """Ask the provider to charge the card of a payment; asked again it charges nothing more.

    False when that is not known to have reached it. Credit comes with the provider's confirmation, never from here.
    """
    payment = _sending(payment_id, now)
    if payment is None or payment.card is None:
        return False
    try:
        answer = gateway.charge_off_session(
            key=str(payment.key),
            customer_id=_customer_id(payment.owner_id),
            card_id=payment.card.provider_id,
            cents=cents_of(payment.amount_micros),
            name=CHARGE_NAME,
        )
    except PaymentsUnavailableError:
        return False
    except PaymentRefusedError as error:
        answer = gateway.ChargeAnswer("", error.code, error.message)
    _answered(payment_id, answer, now)
    return True


@transaction.atomic
def _sending(payment_id: int, now: datetime) -> Payment | None:
    """The payment, about to be sent; None when it is past that."""
    payment = payment_locked(payment_id)
    if payment.state == CREATED:
        payment_go(payment, PROCESSING, "sent", now)
    return payment if payment.state == PROCESSING else None


@transaction.atomic
def _answered(payment_id: int, answer: gateway.ChargeAnswer, now: datetime) -> None:
    """Remember the provider's number, and a refusal. A charge that went through is credited when it is confirmed."""
    payment = payment_locked(payment_id)
    if answer.intent_id:
        payment.intent_id = answer.intent_id
        payment.save(update_fields=["intent_id"])
    if answer.failure_code:
        payment_refused(payment, answer.failure_code, answer.failure_message, "refused", now)


def _customer_id(owner_id: int) -> str:
    return str(BillingCustomer.objects.get(owner_id=owner_id).provider_id)
