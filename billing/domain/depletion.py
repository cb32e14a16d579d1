"""When a client's balance reaches zero, to the microsecond."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from billing.domain.accrual import (
    MICROSECONDS_PER_HOUR,
    MeterState,
    total_micros_at,
    units_at,
    unposted_micros,
)

_MICROSECOND = timedelta(microseconds=1)
_END_OF_TIME = datetime(9000, 1, 1, tzinfo=UTC)


def spend_rate_micros(meters: Sequence[MeterState]) -> int:
    """Micro-dollars per hour that the running meters spend together."""
    return sum(meter.rate_micros for meter in meters if meter.running)


def balance_micros_at(posted_micros: int, meters: Sequence[MeterState], now: datetime) -> int:
    """The balance at ``now``: what the ledger says less what the open meters have accrued beyond it."""
    return posted_micros - sum(unposted_micros(meter, now) for meter in meters)


def zero_at(
    posted_micros: int, meters: Sequence[MeterState], now: datetime, previous: datetime | None
) -> datetime | None:
    """The first instant at which the balance is zero or less, if rates stay as they are.

    None when nothing is being spent, or when the credit lasts beyond the calendar. A balance that is used
    up already keeps the instant ``previous`` at which that happened, and has ``now`` when no earlier one is
    known.
    """
    if not spend_rate_micros(meters):
        return None
    if balance_micros_at(posted_micros, meters, now) <= 0:
        return previous if previous is not None and previous <= now else now
    return _first_instant_at_zero(posted_micros, meters, now)


def below_at(
    posted_micros: int, meters: Sequence[MeterState], level_micros: int, now: datetime, previous: datetime | None
) -> datetime | None:
    """The first instant at which the balance is below ``level_micros``, if rates stay as they are.

    Otherwise as ``zero_at``, but a balance that is below already counts even when nothing is being spent.
    """
    above_micros = posted_micros - level_micros + 1
    if balance_micros_at(above_micros, meters, now) <= 0:
        return previous if previous is not None and previous <= now else now
    return _first_instant_at_zero(above_micros, meters, now) if spend_rate_micros(meters) else None


def _first_instant_at_zero(posted_micros: int, meters: Sequence[MeterState], now: datetime) -> datetime | None:
    """Bisects between two bounds: n meters round down by less than n micro-dollars together."""
    running = [meter for meter in meters if meter.running and meter.rate_micros]
    still = [meter for meter in meters if not (meter.running and meter.rate_micros)]
    allowed = posted_micros + sum(m.posted_micros for m in meters) - sum(total_micros_at(m, now) for m in still)
    late = max(timedelta(0), max(meter.settled_at for meter in running) - now)
    missing = allowed * MICROSECONDS_PER_HOUR - sum(units_at(meter, now) for meter in running)
    rate = spend_rate_micros(running)
    low = max(0, -(-missing // rate) - 1)
    high = late // _MICROSECOND - (-(missing + len(running) * MICROSECONDS_PER_HOUR) // rate)
    if high > (_END_OF_TIME - now) // _MICROSECOND:
        return None
    while low < high:
        middle = (low + high) // 2
        at = now + middle * _MICROSECOND
        if sum(total_micros_at(meter, at) for meter in running) >= allowed:
            high = middle
        else:
            low = middle + 1
    return now + high * _MICROSECOND
