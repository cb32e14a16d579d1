"""Auto-billing: turned on and off, and what refusals of the card lead to.

While it is on, the client's ledger account carries the threshold, and with it the instant at which the balance falls
below: every change of meters or money recomputes that instant together with the end of the credit, from the same read.
So nothing is scanned, and the sweeper finds who is due by an index.
"""

from datetime import datetime

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from billing import hooks
from billing.domain.auto_billing import retry_at
from billing.domain.card_payments import PaymentLimits, check_payment_amount
from billing.domain.errors import InvalidAmountError, NoCardError
from billing.domain.money import format_dollars
from billing.domain.notices import AUTO_BILLING_OFF, PAYMENT_ACTION, PAYMENT_FAILED
from billing.domain.payment_states import ACTION_REQUIRED
from billing.models import AutoBilling, Card, LedgerAccount, Payment
from billing.services.depletion import zero_at_refresh
from billing.services.payment_rows import owner_lock

TOO_MANY_REFUSALS = "declined"
SUSPENDED = "suspended"


def payment_limits() -> PaymentLimits:
    """What this installation lets one payment be."""
    return PaymentLimits(settings.PAYMENT_LEAST_MICROS, settings.PAYMENT_MOST_MICROS)


@transaction.atomic
def auto_billing_set(
    *,
    user: AbstractBaseUser,
    enabled: bool,
    threshold_micros: int,
    mode: str,
    amount_micros: int,
    now: datetime,
) -> AutoBilling:
    """Agree to be charged ``amount_micros`` (or up to that balance, see ``mode``) when the balance falls under the
    threshold; or end it.

    Raises NoCardError (nothing to charge), InvalidAmountError.
    """
    check_payment_amount(amount_micros, payment_limits())
    if mode not in AutoBilling.Mode.values:
        raise InvalidAmountError(f"{mode!r} is no way to choose the amount; use 'fixed' or 'top_up'.")
    if not 0 <= threshold_micros <= settings.PAYMENT_MOST_MICROS:
        most = format_dollars(settings.PAYMENT_MOST_MICROS)
        raise InvalidAmountError(f"The threshold is between $0 and ${most}.")
    account_id = owner_lock(user.pk)
    if enabled and not Card.objects.filter(owner_id=user.pk, removed_at=None).exists():
        raise NoCardError("Save a card first: auto-billing has nothing to charge.")
    terms, _ = AutoBilling.objects.update_or_create(
        owner_id=user.pk,
        defaults={
            "enabled": enabled,
            "threshold_micros": threshold_micros,
            "mode": mode,
            "amount_micros": amount_micros,
            "failures": 0,
            "next_attempt_at": None,
            "off_reason": "",
        },
    )
    _watch(account_id, user.pk, threshold_micros if enabled else None, now)
    return terms


def auto_billing_turn_off(*, owner_id: int, reason: str, now: datetime) -> bool:
    """End it for the client; False when it was off. The caller holds the client's lock."""
    off = AutoBilling.objects.filter(owner_id=owner_id, enabled=True)
    if not off.update(enabled=False, off_reason=reason, next_attempt_at=None):
        return False
    _watch(owner_lock(owner_id), owner_id, None, now)
    hooks.money().tell(
        owner_id=owner_id,
        kind=AUTO_BILLING_OFF,
        key=f"auto-billing-off:{owner_id}:{now.isoformat()}",
        subject="Auto-billing is off",
        text=_OFF_TEXTS[reason] + " Your instances stop when your credit is used up.",
        now=now,
    )
    return True


@transaction.atomic
def auto_billing_suspend(*, owner_id: int, now: datetime) -> bool:
    """The account was suspended: charge its card no more until its owner agrees anew; False when it was off."""
    owner_lock(owner_id)
    return auto_billing_turn_off(owner_id=owner_id, reason=SUSPENDED, now=now)


def auto_billing_refused(*, payment: Payment, now: datetime) -> None:
    """The card of a payment of auto-billing was refused: try again later, or give up. The caller holds the lock."""
    terms = AutoBilling.objects.filter(owner_id=payment.owner_id).first()
    if terms is None or not terms.enabled:
        return
    terms.failures += 1
    terms.next_attempt_at = retry_at(terms.failures, now)
    terms.save(update_fields=["failures", "next_attempt_at"])
    _tell_refused(payment, terms, now)
    if terms.next_attempt_at is None:
        auto_billing_turn_off(owner_id=payment.owner_id, reason=TOO_MANY_REFUSALS, now=now)


def auto_billing_paid(*, owner_id: int) -> None:
    """The card was charged: refusals before count no more. The caller holds the lock."""
    AutoBilling.objects.filter(owner_id=owner_id).update(failures=0, next_attempt_at=None)


def _watch(account_id: int, owner_id: int, threshold_micros: int | None, now: datetime) -> None:
    LedgerAccount.objects.filter(pk=account_id).update(threshold_micros=threshold_micros)
    zero_at_refresh(owner_ids=[owner_id], now=now)


def _tell_refused(payment: Payment, terms: AutoBilling, now: datetime) -> None:
    amount = f"${format_dollars(payment.amount_micros)}"
    again = f" We try again at {terms.next_attempt_at:%Y-%m-%d %H:%M} UTC." if terms.next_attempt_at else ""
    if payment.state == ACTION_REQUIRED:
        kind, subject = PAYMENT_ACTION, f"Your bank wants you to confirm a payment of {amount}"
        text = f"Auto-billing could not charge {payment.card}: its bank wants you to confirm. Do it on the page below."
    else:
        kind, subject = PAYMENT_FAILED, f"A payment of {amount} was declined"
        text = f"Auto-billing could not charge {payment.card}: {payment.failure_message or 'it was declined.'}"
    hooks.money().tell(
        owner_id=payment.owner_id,
        kind=kind,
        key=f"payment:{payment.pk}:{payment.state}",
        subject=subject,
        text=text + again,
        now=now,
    )


_OFF_TEXTS = {
    SUSPENDED: "Your account was suspended, so we no longer charge your card.",
    TOO_MANY_REFUSALS: "Your card was refused several times in a row, so we no longer charge it.",
    "no_card": "There is no saved card left to charge.",
}
