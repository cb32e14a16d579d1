"""What the demo machine earned last week, so that its host has an invoice and something to be paid out."""

from datetime import datetime, timedelta

from billing.domain.errors import MeterExistsError
from billing.domain.weeks import week_end_by
from billing.services import meter_close, meter_open
from hosting.models import Machine
from marketplace.demo import accounts

BEGAN_BEFORE_END = timedelta(days=3)
LASTED = timedelta(hours=40)
RATES_MICROS_PER_HOUR = {"gpu": 1_200_000, "storage": 2_740}
"""Four GPUs and 20 GB at the machine's prices."""


def last_week(machine: Machine, now: datetime) -> None:
    """A simulated renter used the whole machine for forty hours of the week that is over; told once."""
    began = week_end_by(now) - BEGAN_BEFORE_END
    renter = accounts.simulated("renter", 0, now)
    for kind, rate_micros in RATES_MICROS_PER_HOUR.items():
        reference = f"demo:{machine.pk}:{kind}"
        try:
            meter_open(
                reference=reference,
                kind=kind,
                payer=renter,
                payee=machine.host,
                rate_micros_per_hour=rate_micros,
                now=began,
                running=True,
                earner=f"machine:{machine.pk}",
            )
        except MeterExistsError:
            continue
        meter_close(reference=reference, at=began + LASTED)
