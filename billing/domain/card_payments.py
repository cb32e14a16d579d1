"""Amounts that cards are charged. Providers count cents, we count micro-dollars."""

from dataclasses import dataclass

from billing.domain.errors import InvalidAmountError
from billing.domain.money import format_dollars

MICROS_PER_CENT = 10_000


@dataclass(frozen=True, slots=True)
class PaymentLimits:
    """The least and the most that one payment may be, in micro-dollars."""

    least_micros: int
    most_micros: int


def cents_of(micros: int) -> int:
    """Whole cents. Raises InvalidAmountError for parts of a cent, which no card can be charged."""
    cents, rest = divmod(micros, MICROS_PER_CENT)
    if rest:
        raise InvalidAmountError("A card can be charged whole cents only.")
    return cents


def micros_of(cents: int) -> int:
    """Micro-dollars of a provider's cents."""
    return cents * MICROS_PER_CENT


def round_up_to_cent(micros: int) -> int:
    """The next whole cent, in micro-dollars."""
    return -(-micros // MICROS_PER_CENT) * MICROS_PER_CENT


def check_payment_amount(micros: int, limits: PaymentLimits) -> None:
    """Raises InvalidAmountError for amounts outside the limits or with parts of a cent."""
    cents_of(micros)
    if not limits.least_micros <= micros <= limits.most_micros:
        least, most = format_dollars(limits.least_micros), format_dollars(limits.most_micros)
        raise InvalidAmountError(f"One payment is between ${least} and ${most}.")
