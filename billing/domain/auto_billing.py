"""Auto-billing: how much is charged when the balance falls under the threshold, and when a refused card is retried."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.domain.card_payments import PaymentLimits, round_up_to_cent

FIXED = "fixed"
TOP_UP = "top_up"
RETRY_AFTER = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
"""After the first, second and third refusal in a row; the next one turns auto-billing off."""


@dataclass(frozen=True, slots=True)
class AutoBillingTerms:
    """What a client agreed to. ``amount_micros`` is each charge (``fixed``) or the balance to reach (``top_up``)."""

    threshold_micros: int
    mode: str
    amount_micros: int


def charge_micros(terms: AutoBillingTerms, balance_micros: int, limits: PaymentLimits) -> int:
    """What to charge at this balance: as agreed, and enough that the balance is not under the threshold afterwards.

    Within the limits of one payment; after a debt larger than that, the next charge follows at once.
    """
    target = terms.threshold_micros if terms.mode == FIXED else max(terms.amount_micros, terms.threshold_micros)
    missing = target - balance_micros
    wanted = max(terms.amount_micros, missing) if terms.mode == FIXED else missing
    return min(max(round_up_to_cent(wanted), limits.least_micros), limits.most_micros)


def retry_at(failures: int, now: datetime) -> datetime | None:
    """When to try again after this many refusals in a row; None when that was one too many."""
    return now + RETRY_AFTER[failures - 1] if 0 < failures <= len(RETRY_AFTER) else None
