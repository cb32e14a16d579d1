"""Refunds that staff give: written down, sent to the provider, taken from the credit once it has confirmed."""

from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Sum

from billing.domain.card_payments import cents_of
from billing.domain.errors import (
    MissingReasonError,
    NotRefundableError,
    NotStaffError,
    PaymentRefusedError,
    PaymentsUnavailableError,
)
from billing.domain.money import check_positive_amount, format_dollars
from billing.domain.payment_states import SUCCEEDED
from billing.gateways import stripe as gateway
from billing.models import Payment, PaymentRefund
from billing.services.payment_facts import payment_apply
from billing.services.payment_rows import payment_locked

REPEAT_AFTER = timedelta(minutes=2)


@transaction.atomic
def payment_refund(
    *, payment_id: int, amount_micros: int, actor: AbstractBaseUser, reason: str, key: UUID, now: datetime
) -> PaymentRefund:
    """Have a part of a payment, or all of it, go back to the card. Send it with ``refund_send``; the same key is the
    same refund.

    Raises UnknownPaymentError, InvalidAmountError, NotRefundableError, MissingReasonError, NotStaffError.
    """
    check_positive_amount(amount_micros)
    cents_of(amount_micros)
    if not getattr(actor, "is_staff", False):
        raise NotStaffError("Only staff may refund a payment.")
    if not reason.strip():
        raise MissingReasonError("Say why the payment is refunded.")
    payment = payment_locked(payment_id)
    earlier = PaymentRefund.objects.filter(key=key, payment=payment).first()
    if earlier is not None:
        return earlier
    left = refundable_micros(payment)
    if amount_micros > left:
        raise NotRefundableError(f"At most ${format_dollars(left)} of this payment can be refunded.")
    return PaymentRefund.objects.create(
        payment=payment,
        key=key,
        amount_micros=amount_micros,
        reason=reason.strip()[:300],
        actor_id=actor.pk,
        created_at=now,
        check_at=now + REPEAT_AFTER,
    )


def refundable_micros(payment: Payment) -> int:
    """What is left of a payment to give back."""
    if payment.state != SUCCEEDED:
        return 0
    asked = PaymentRefund.objects.filter(payment=payment, state="requested").aggregate(total=Sum("amount_micros"))
    return max(0, payment.amount_micros - payment.refunded_micros - payment.disputed_micros - (asked["total"] or 0))


def refund_send(*, refund_id: int, now: datetime) -> bool:
    """Ask the provider for a refund and take over what it says; asked again it gives back nothing more.

    False when it is not known to have arrived: the reconciliation asks again.
    """
    refund = PaymentRefund.objects.select_related("payment").get(pk=refund_id)
    intent_id = refund.payment.intent_id
    if refund.state != "requested" or intent_id is None:
        return False
    try:
        gateway.refund_create(key=str(refund.key), intent_id=intent_id, cents=cents_of(refund.amount_micros))
        facts = gateway.payment_facts(intent_id)
    except PaymentsUnavailableError:
        return False
    except PaymentRefusedError as error:
        _refused(refund, error.message)
        return True
    payment_apply(payment_id=refund.payment_id, facts=facts, reason="refund", now=now)
    return True


@transaction.atomic
def _refused(refund: PaymentRefund, message: str) -> None:
    """The provider does not take it, and nothing happened there; one that it knows already stays as it is."""
    payment_locked(refund.payment_id)
    waiting = PaymentRefund.objects.filter(pk=refund.pk, state="requested", provider_id=None)
    waiting.update(state="refused", check_at=None, failure=message[:300])
