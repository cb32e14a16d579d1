"""Payments as rows: made, found under their owner's lock, and walked from state to state."""

from datetime import datetime, timedelta
from uuid import UUID

from billing import locks
from billing.domain.errors import UnknownPaymentError
from billing.domain.payment_states import IN_FLIGHT, SUCCEEDED, may_go
from billing.models import AccountKind, Card, Payment, PaymentChange, PaymentPurpose
from billing.services.accounts import accounts_ensure

FIRST_CHECK_AFTER = timedelta(minutes=2)
"""A webhook takes seconds; after this the provider is asked."""


def owner_lock(owner_id: int) -> int:
    """Locks the client's credit until the transaction ends; the id of its ledger account."""
    accounts_ensure(AccountKind.CLIENT_CREDIT, [owner_id])
    return locks.client_accounts([owner_id])[0].pk


def payment_make(
    *, owner_id: int, key: UUID, purpose: PaymentPurpose, amount_micros: int, card: Card | None, now: datetime
) -> Payment:
    """A new payment that nobody has heard of. The caller holds the owner's lock."""
    return Payment.objects.create(
        owner_id=owner_id,
        key=key,
        purpose=purpose,
        amount_micros=amount_micros,
        card=card,
        created_at=now,
        check_at=now + FIRST_CHECK_AFTER,
    )


def payment_locked(payment_id: int) -> Payment:
    """The payment, with its owner locked until the transaction ends. Raises UnknownPaymentError."""
    owner_id = Payment.objects.filter(pk=payment_id).values_list("owner_id", flat=True).first()
    if owner_id is None:
        raise UnknownPaymentError(f"There is no payment {payment_id}.")
    owner_lock(owner_id)
    return Payment.objects.get(pk=payment_id)


def payment_go(payment: Payment, state: str, reason: str, now: datetime) -> bool:
    """Move the payment on and note why; False, and nothing changed, when it can't go there. The caller holds the lock,
    and saves what else it changed."""
    if not may_go(payment.state, state):
        return False
    PaymentChange.objects.create(payment=payment, from_state=payment.state, to_state=state, reason=reason[:100], at=now)
    payment.state = state
    if state not in IN_FLIGHT:
        payment.check_at = None
    if state == SUCCEEDED:
        payment.succeeded_at = now
        payment.failure_code = payment.failure_message = ""
    payment.save()
    return True
