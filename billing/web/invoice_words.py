"""How invoices name what earned, and how much it was used."""

from datetime import timedelta
from decimal import Decimal

from billing.domain.accrual import BYTES_PER_GB
from billing.models import HostInvoiceLine, MeterKind

_HOUR_SECONDS = timedelta(hours=1) // timedelta(seconds=1)


def earner_words(earner: str) -> str:
    """What has earned: "machine:7" is "Machine 7", what has no name is "Other"."""
    thing, _, number = earner.partition(":")
    return f"{thing.capitalize()} {number}".strip() or "Other"


def quantity_unit(line: HostInvoiceLine) -> str:
    """What a line's quantity is told in."""
    return "GB" if line.kind == MeterKind.TRAFFIC else "hours"


def quantity_value(line: HostInvoiceLine) -> Decimal:
    """The line's quantity in that unit, to the thousandth."""
    per_unit = BYTES_PER_GB if line.kind == MeterKind.TRAFFIC else _HOUR_SECONDS
    return (Decimal(line.quantity) / per_unit).quantize(Decimal("0.001"))


def quantity_words(line: HostInvoiceLine) -> str:
    """Both, such as "12.500 hours"."""
    return f"{quantity_value(line)} {quantity_unit(line)}"
