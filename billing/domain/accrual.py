"""What a meter has accrued at an instant, exactly.

A meter counts units: rate * quantity, where the quantity is microseconds for time and bytes for traffic,
and the rate is in micro-dollars per quantum (an hour, or a gigabyte of 10^9 bytes). Units are whole numbers
of any size, so nothing is rounded while counting. There is one rounding, when units become money: total =
floor(units / quantum), taken over the whole life of the meter. How often a meter is settled therefore never
changes what it bills.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.domain.errors import InvalidRateError
from billing.domain.split import host_part_micros

MICROSECONDS_PER_HOUR = 3_600_000_000
BYTES_PER_GB = 1_000_000_000
MAX_RATE_MICROS = 10**12
"""A million dollars an hour: more is a mistake."""

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class MeterState:
    """Everything that decides what a meter charges."""

    rate_micros: int
    """Micro-dollars per quantum."""
    quantum: int
    """MICROSECONDS_PER_HOUR or BYTES_PER_GB."""
    units: int
    """Rate * quantity counted up to ``settled_at``."""
    settled_at: datetime
    running: bool
    """Whether time passes on this meter. Never so for traffic, which is counted as it is reported."""
    posted_micros: int
    """The part of the total that is in the ledger."""
    share_units: int
    """Posted micro-dollars * the host's share, the exact sum behind the host's part."""
    host_share_bps: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What is to be posted: ``total_micros`` from the client, which is host + platform."""

    total_micros: int
    host_micros: int

    @property
    def platform_micros(self) -> int:
        return self.total_micros - self.host_micros


def check_rate(rate_micros: int) -> None:
    """Raises InvalidRateError unless the rate is between 0 and MAX_RATE_MICROS."""
    if not 0 <= rate_micros <= MAX_RATE_MICROS:
        raise InvalidRateError(f"A rate must be between 0 and {MAX_RATE_MICROS} micro-dollars, not {rate_micros}.")


def elapsed_microseconds(since: datetime, until: datetime) -> int:
    """Whole microseconds from ``since`` to ``until``; 0 when the clock went backwards."""
    return max(0, (until - since) // _MICROSECOND)


def units_at(meter: MeterState, now: datetime) -> int:
    """The units counted at ``now``; never fewer than at the instant it was last settled."""
    if not meter.running:
        return meter.units
    return meter.units + meter.rate_micros * elapsed_microseconds(meter.settled_at, now)


def total_micros_at(meter: MeterState, now: datetime) -> int:
    """All that the meter charges from its opening to ``now``, in micro-dollars: the one rounding."""
    return units_at(meter, now) // meter.quantum


def charge_at(meter: MeterState, now: datetime) -> Charge:
    """What the meter has accrued at ``now`` beyond what is in the ledger."""
    total = total_micros_at(meter, now) - meter.posted_micros
    return Charge(total, host_part_micros(meter.share_units, total, meter.host_share_bps))


def unposted_micros(meter: MeterState, now: datetime) -> int:
    """The client's side of ``charge_at``."""
    return total_micros_at(meter, now) - meter.posted_micros
