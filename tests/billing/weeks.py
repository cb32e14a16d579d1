"""Weeks, machines that earn in them, and what is on the invoices."""

from datetime import UTC, datetime, timedelta

from billing import services
from billing.models import HostInvoice, Meter
from marketplace.models import User

FRIDAY = datetime(2026, 3, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)


def open_on(
    earner: str,
    payer: User,
    payee: User,
    now: datetime,
    *,
    reference: str = "m",
    kind: str = "gpu",
    rate: int = 360_000,
    share: int | None = None,
    running: bool = True,
) -> Meter:
    """A meter of a machine."""
    return services.meter_open(
        reference=reference,
        kind=kind,
        payer=payer,
        payee=payee,
        rate_micros_per_hour=rate,
        now=now,
        running=running,
        earner=earner,
        host_share_bps=share,
    )


def invoice(host: User) -> HostInvoice:
    return HostInvoice.objects.get(host=host)


def lines(row: HostInvoice) -> list[tuple[str, str, int, int, int, int]]:
    return [
        (line.earner, line.kind, line.quantity, line.gross_micros, line.fee_micros, line.net_micros)
        for line in row.lines.order_by("earner", "kind")
    ]
