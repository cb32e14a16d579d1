"""Meters as most tests want them."""

from datetime import datetime

from billing import services
from billing.models import Meter
from marketplace.models import User

HOURLY_MICROS = 360_000
"""100 micro-dollars a second."""


def open_gpu(
    reference: str,
    payer: User,
    payee: User,
    now: datetime,
    *,
    running: bool = True,
    rate_micros_per_hour: int = HOURLY_MICROS,
    host_share_bps: int | None = None,
) -> Meter:
    return services.meter_open(
        reference=reference,
        kind="gpu",
        payer=payer,
        payee=payee,
        rate_micros_per_hour=rate_micros_per_hour,
        now=now,
        running=running,
        host_share_bps=host_share_bps,
    )


def open_traffic(reference: str, payer: User, payee: User, now: datetime) -> Meter:
    """A cent per GB."""
    return services.traffic_meter_open(
        reference=reference, payer=payer, payee=payee, rate_micros_per_gb=10_000, now=now
    )


def give(user: User, amount_micros: int, now: datetime, key: str = "gift") -> None:
    services.credit_grant(
        user=user, amount_micros=amount_micros, actor=None, reason="gift", idempotency_key=key, now=now
    )
