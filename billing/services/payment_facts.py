"""What the provider says of a payment becomes ours: its state, and the ledger's entries, each once.

This is the only place where card payments move money. It does not matter how often, in what order or why it is
called: what is asked is the whole of the provider's knowledge, and every entry has a key of its own.
"""

from datetime import datetime
from uuid import uuid4

from django.db import transaction

from billing import hooks
from billing.domain.card_payments import micros_of
from billing.domain.entries import EntryDraft, Line
from billing.domain.errors import PaymentMismatchError
from billing.domain.money import format_dollars
from billing.domain.notices import DISPUTE_CLOSED, DISPUTE_OPENED, PAYMENT_RECEIVED, PAYMENT_REFUNDED
from billing.domain.payment_states import ACTION_REQUIRED, CANCELED, FAILED, SUCCEEDED
from billing.gateways.stripe import (
    AUTHENTICATION_REQUIRED,
    CURRENCY,
    PROVIDER,
    DisputeFact,
    MovementFact,
    PaymentFacts,
    RefundFact,
)
from billing.models import (
    AccountKind,
    Entry,
    EntryKind,
    Payment,
    PaymentDispute,
    PaymentPurpose,
    PaymentRefund,
)
from billing.services.accounts import system_account_id
from billing.services.auto_billing import auto_billing_paid, auto_billing_refused
from billing.services.depletion import zero_at_refresh
from billing.services.ledger import entries_post
from billing.services.payment_rows import owner_lock, payment_go, payment_locked

MONEY_IS_BACK = ("failed", "canceled")
CLOSED = ("won", "lost", "warning_closed", "prevented")
FOUND_REASON = "Refunded at the payment provider"


@transaction.atomic
def payment_apply(*, payment_id: int, facts: PaymentFacts, reason: str, now: datetime) -> Payment:
    """Take over what is so. ``reason`` says what made us ask.

    Raises UnknownPaymentError, and PaymentMismatchError when the facts are not those of this payment.
    """
    payment = payment_locked(payment_id)
    _check(payment, facts)
    payment.intent_id = facts.intent_id
    payment.save(update_fields=["intent_id"])
    _state_apply(payment, facts, reason, now)
    if payment.state == SUCCEEDED:
        _money_apply(payment, facts, now)
        zero_at_refresh(owner_ids=[payment.owner_id], now=now)
    return payment


def payment_refused(payment: Payment, code: str, message: str, reason: str, now: datetime) -> None:
    """The card was refused for good, as far as this payment goes. The caller holds the lock."""
    payment.failure_code, payment.failure_message = code[:100], message[:300]
    target = ACTION_REQUIRED if code == AUTHENTICATION_REQUIRED else FAILED
    if payment_go(payment, target, reason, now):
        auto_billing_refused(payment=payment, now=now)


def _check(payment: Payment, facts: PaymentFacts) -> None:
    told = (facts.key, facts.currency, micros_of(facts.cents), facts.intent_id)
    known = (str(payment.key), CURRENCY, payment.amount_micros, payment.intent_id or facts.intent_id)
    if told != known:
        raise PaymentMismatchError(f"Payment {payment.pk} is {known}, the provider says {told}.")


def _state_apply(payment: Payment, facts: PaymentFacts, reason: str, now: datetime) -> None:
    if facts.status == "succeeded":
        if facts.received_cents != facts.cents:
            raise PaymentMismatchError(f"Payment {payment.pk}: {facts.received_cents} cents of {facts.cents} came.")
        if payment_go(payment, SUCCEEDED, reason, now):
            _succeeded(payment, now)
    elif facts.status == "canceled":
        payment_go(payment, CANCELED, reason, now)
    elif facts.failure_code and payment.purpose == PaymentPurpose.AUTO:
        payment_refused(payment, facts.failure_code, facts.failure_message, reason, now)
    elif facts.failure_code:
        # On the provider's page the client may still try another card.
        payment.failure_code, payment.failure_message = facts.failure_code[:100], facts.failure_message[:300]
        payment.save(update_fields=["failure_code", "failure_message"])


def _succeeded(payment: Payment, now: datetime) -> None:
    auto_billing_paid(owner_id=payment.owner_id)
    amount = f"${format_dollars(payment.amount_micros)}"
    hooks.money().tell(
        owner_id=payment.owner_id,
        kind=PAYMENT_RECEIVED,
        key=f"payment:{payment.pk}:{SUCCEEDED}",
        subject=f"We received your payment of {amount}",
        text=f"{amount} were added to your credit. Payment number {payment.pk}.",
        now=now,
    )


def _money_apply(payment: Payment, facts: PaymentFacts, now: datetime) -> None:
    key, amount = f"payment:{payment.pk}", payment.amount_micros
    _post(payment, key, EntryKind.PAYMENT, f"Card payment {payment.pk}", amount, now)
    payment.fee_micros = _fee_post(payment, key, micros_of(facts.fee_cents), now)
    payment.refunded_micros = sum([_refund_apply(payment, fact, now) for fact in facts.refunds])
    payment.disputed_micros = sum([_dispute_apply(payment, fact, now) for fact in facts.disputes])
    payment.save(update_fields=["fee_micros", "refunded_micros", "disputed_micros"])


def _refund_apply(payment: Payment, fact: RefundFact, now: datetime) -> int:
    """Micro-dollars that this refund took back."""
    micros, key = micros_of(fact.cents), f"refund:{fact.refund_id}"
    is_back = fact.status in MONEY_IS_BACK
    refund = _refund_row(payment, fact, now)
    memo = f"Refund of card payment {payment.pk}: {refund.reason}"
    if not is_back and _post(payment, key, EntryKind.PAYMENT_REFUND, memo, -micros, now, refund.actor_id):
        _tell(payment, PAYMENT_REFUNDED, key, f"${format_dollars(micros)} go back to your card", memo, now)
    if is_back and Entry.objects.filter(idempotency_key=key).exists():
        failed = f"The refund of card payment {payment.pk} did not arrive"
        _post(payment, f"{key}:failed", EntryKind.PAYMENT_REFUND, failed, micros, now)
    return 0 if is_back else micros


def _refund_row(payment: Payment, fact: RefundFact, now: datetime) -> PaymentRefund:
    """Our record of the refund: that by which staff asked for it, or a new one."""
    state = "failed" if fact.status in MONEY_IS_BACK else "succeeded"
    rows = PaymentRefund.objects.filter(payment=payment)
    row = rows.filter(provider_id=fact.refund_id).first()
    if row is None and fact.key:
        row = rows.filter(key=fact.key, provider_id=None).first()
    if row is None:
        row = PaymentRefund(
            payment=payment,
            key=uuid4(),
            amount_micros=micros_of(fact.cents),
            reason=FOUND_REASON,
            created_at=now,
        )
    row.provider_id, row.state, row.check_at = fact.refund_id, state, None
    row.save()
    return row


def _dispute_apply(payment: Payment, fact: DisputeFact, now: datetime) -> int:
    """Micro-dollars that the bank has of this payment."""
    for movement in fact.movements:
        _movement_post(payment, movement, now)
    withdrawn = max(0, -micros_of(sum(movement.cents for movement in fact.movements)))
    is_closed = fact.status in CLOSED
    row, is_new = PaymentDispute.objects.get_or_create(
        provider_id=fact.dispute_id,
        defaults={
            "payment": payment,
            "status": fact.status,
            "reason": fact.reason[:100],
            "amount_micros": micros_of(fact.cents),
            "withdrawn_micros": withdrawn,
            "opened_at": now,
        },
    )
    if is_new:
        _tell(payment, DISPUTE_OPENED, f"dispute:{row.pk}", f"Payment {payment.pk} is disputed", _OPENED_TEXT, now)
    if is_closed and row.closed_at is None:
        row.closed_at = now
        outcome = _CLOSED_TEXTS.get(fact.status, "It ended without a decision.")
        _tell(
            payment,
            DISPUTE_CLOSED,
            f"dispute:{row.pk}:closed",
            f"The dispute of payment {payment.pk} ended",
            outcome,
            now,
        )
    row.status, row.withdrawn_micros = fact.status, withdrawn
    row.save()
    return withdrawn


def _movement_post(payment: Payment, movement: MovementFact, now: datetime) -> None:
    key, micros = f"{PROVIDER}:{movement.movement_id}", micros_of(movement.cents)
    kind = EntryKind.DISPUTE if micros < 0 else EntryKind.DISPUTE_WON
    memo = f"Card payment {payment.pk} disputed" if micros < 0 else f"Dispute of card payment {payment.pk} won"
    if micros:
        _post(payment, key, kind, memo, micros, now)
    _fee_post(payment, key, micros_of(movement.fee_cents), now)


def _fee_post(payment: Payment, key: str, fee_micros: int, now: datetime) -> int:
    """What the processor keeps is the platform's loss, not the client's. The fee is returned."""
    if fee_micros and not Entry.objects.filter(idempotency_key=f"{key}:fee").exists():
        clearing = system_account_id(AccountKind.PROCESSOR_CLEARING, PROVIDER)
        lines = (Line(system_account_id(AccountKind.PLATFORM_FEES), -fee_micros), Line(clearing, fee_micros))
        draft = EntryDraft(
            idempotency_key=f"{key}:fee",
            kind=EntryKind.PROCESSOR_FEE,
            memo=f"Processor's fee for card payment {payment.pk}",
            occurred_at=now,
            lines=lines,
            details={"payment": payment.pk},
        )
        entries_post([draft])
    return fee_micros


def _post(
    payment: Payment, key: str, kind: EntryKind, memo: str, micros: int, now: datetime, actor_id: int | None = None
) -> bool:
    """Give the client ``micros`` (take them when negative) against the processor's clearing; False when that was done.

    The owner's lock is held, so nobody else posts under this key.
    """
    if Entry.objects.filter(idempotency_key=key).exists():
        return False
    clearing = system_account_id(AccountKind.PROCESSOR_CLEARING, PROVIDER)
    draft = EntryDraft(
        idempotency_key=key,
        kind=kind,
        memo=memo[:300],
        occurred_at=now,
        actor_id=actor_id,
        lines=(Line(clearing, -micros), Line(owner_lock(payment.owner_id), micros)),
        details={"payment": payment.pk},
    )
    entries_post([draft])
    return True


def _tell(payment: Payment, kind: str, key: str, subject: str, text: str, now: datetime) -> None:
    hooks.money().tell(owner_id=payment.owner_id, kind=kind, key=key, subject=subject, text=text, now=now)


_OPENED_TEXT = "Your bank has asked for this payment back. What it took is no longer part of your credit."
_CLOSED_TEXTS = {
    "won": "It was decided that the payment stands; the amount is part of your credit again.",
    "lost": "It was decided that the payment does not stand; the amount stays with your bank.",
    "warning_closed": "Your bank asked about the payment and left it as it is.",
}
