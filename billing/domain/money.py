"""Micro-dollars as people write them. One dollar is 1,000,000 micro-dollars; no floats anywhere."""

import re

from billing.domain.errors import InvalidAmountError

MICROS_PER_DOLLAR = 1_000_000
MAX_AMOUNT_MICROS = 10**15
"""One thousand million dollars: more in one movement is a mistake."""

_DOLLARS = re.compile(r"(?P<sign>[+-]?)(?P<whole>[0-9]{1,12})(?:\.(?P<part>[0-9]{1,6}))?")


def format_dollars(micros: int, places: int = 2) -> str:
    """``micros`` as dollars with ``places`` (0 to 6) decimals, halves away from zero; exact with 6 places."""
    step: int = 10 ** (6 - places)
    rounded = (abs(micros) + step // 2) // step
    sign = "-" if micros < 0 and rounded else ""
    whole, part = divmod(rounded, 10**places)
    return f"{sign}{whole}.{part:0{places}d}" if places else f"{sign}{whole}"


def exact_dollars(micros: int) -> str:
    """``micros`` as dollars with every digit that counts, and at least two decimals: 1500 -> ``0.0015``."""
    whole, part = format_dollars(micros, 6).split(".")
    return f"{whole}.{part.rstrip('0'):0<2}"


def parse_dollars(text: str) -> int:
    """The micro-dollars in a decimal string such as ``12.50``.

    Raises InvalidAmountError for anything else: exponents, separators, more than six decimals, too much
    money.
    """
    match = _DOLLARS.fullmatch(text.strip())
    if match is None:
        raise InvalidAmountError(f"{text!r} is not an amount in dollars such as 12.50 (at most 6 decimals).")
    micros = int(match["whole"]) * MICROS_PER_DOLLAR + int((match["part"] or "").ljust(6, "0"))
    if micros > MAX_AMOUNT_MICROS:
        raise InvalidAmountError(f"{text} dollars is more than one movement may carry.")
    return -micros if match["sign"] == "-" else micros


def check_positive_amount(micros: int) -> None:
    """Raises InvalidAmountError unless ``micros`` is more than zero and no more than MAX_AMOUNT_MICROS."""
    if not 0 < micros <= MAX_AMOUNT_MICROS:
        raise InvalidAmountError(
            f"The amount must be more than 0 and at most {format_dollars(MAX_AMOUNT_MICROS)} dollars,"
            f" not {exact_dollars(micros)}."
        )
