"""Buying credit and saving cards on the provider's own pages."""

from datetime import datetime
from uuid import UUID, uuid4

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from billing.domain.card_payments import cents_of, check_payment_amount
from billing.domain.errors import PaymentRefusedError, UnknownPaymentError
from billing.domain.payment_states import ACTION_REQUIRED, CANCELED, CREATED, PROCESSING
from billing.gateways import stripe as gateway
from billing.models import Payment, PaymentPurpose
from billing.services.auto_billing import payment_limits
from billing.services.customers import customer_ensure
from billing.services.payment_rows import owner_lock, payment_go, payment_locked, payment_make

CREDIT_NAME = "Credit for GPU computing"


def purchase_begin(*, user: AbstractBaseUser, amount_micros: int, key: UUID, back_url: str, now: datetime) -> Payment:
    """A payment of credit, and the provider's page (``page_url``) where it is made. The same key is the same payment.

    Raises InvalidAmountError, PaymentsUnavailableError, PaymentRefusedError.
    """
    check_payment_amount(amount_micros, payment_limits())
    customer_id = customer_ensure(user=user, now=now)
    payment = _purchase_row(user.pk, amount_micros, key, now)
    return page_open(payment=payment, customer_id=customer_id, back_url=back_url, now=now)


def page_open(*, payment: Payment, customer_id: str, back_url: str, now: datetime) -> Payment:
    """Have the provider make the page of a payment, or find the one it made. Raises as ``purchase_begin``."""
    try:
        session = gateway.checkout_open(
            key=str(payment.key),
            customer_id=customer_id,
            cents=cents_of(payment.amount_micros),
            name=CREDIT_NAME,
            back_url=back_url,
        )
    except PaymentRefusedError:
        _page_refused(payment.pk, now)
        raise
    return _page_opened(payment.pk, session, now)


def card_page(*, user: AbstractBaseUser, back_url: str, now: datetime) -> str:
    """The address of the provider's page where a card is saved. Raises as ``purchase_begin``, without amounts."""
    customer_id = customer_ensure(user=user, now=now)
    return gateway.card_page_open(key=str(uuid4()), customer_id=customer_id, back_url=back_url).url


def confirmation_begin(*, user: AbstractBaseUser, payment_id: int, back_url: str, now: datetime) -> Payment:
    """Pay in person what the bank did not let auto-billing charge: another payment takes that one's place.

    Raises UnknownPaymentError and as ``purchase_begin``.
    """
    amount_micros = _confirmable(user.pk, payment_id)
    payment = purchase_begin(user=user, amount_micros=amount_micros, key=uuid4(), back_url=back_url, now=now)
    _replace(payment_id, now)
    return payment


@transaction.atomic
def _purchase_row(owner_id: int, amount_micros: int, key: UUID, now: datetime) -> Payment:
    owner_lock(owner_id)
    earlier = Payment.objects.filter(key=key).first()
    if earlier is None:
        purpose = PaymentPurpose.PURCHASE
        return payment_make(
            owner_id=owner_id, key=key, purpose=purpose, amount_micros=amount_micros, card=None, now=now
        )
    if (earlier.owner_id, earlier.amount_micros) != (owner_id, amount_micros):
        raise UnknownPaymentError("This form was used for another payment; load the page again.")
    return earlier


@transaction.atomic
def _page_opened(payment_id: int, session: gateway.SessionFact, now: datetime) -> Payment:
    payment = payment_locked(payment_id)
    payment.session_id, payment.page_url = session.session_id, session.url
    payment.save(update_fields=["session_id", "page_url"])
    if payment.state == CREATED:
        payment_go(payment, PROCESSING, "page_opened", now)
    return payment


@transaction.atomic
def _page_refused(payment_id: int, now: datetime) -> None:
    payment_go(payment_locked(payment_id), CANCELED, "refused", now)


def _confirmable(owner_id: int, payment_id: int) -> int:
    waiting = Payment.objects.filter(pk=payment_id, owner_id=owner_id, state=ACTION_REQUIRED)
    amount = waiting.values_list("amount_micros", flat=True).first()
    if amount is None:
        raise UnknownPaymentError("There is no such payment to confirm.")
    return amount


@transaction.atomic
def _replace(payment_id: int, now: datetime) -> None:
    payment_go(payment_locked(payment_id), CANCELED, "confirmed_in_person", now)
