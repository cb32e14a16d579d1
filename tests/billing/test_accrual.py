"""The pure arithmetic of meters: accrual, split and the end of credit."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.accrual import (
    BYTES_PER_GB,
    MICROSECONDS_PER_HOUR,
    Charge,
    MeterState,
    charge_at,
    check_rate,
    total_micros_at,
    units_at,
    unposted_micros,
)
from billing.domain.depletion import balance_micros_at, zero_at
from billing.domain.entries import EntryDraft, Line
from billing.domain.errors import InvalidRateError, InvalidShareError, UnbalancedEntryError
from billing.domain.split import check_share

NOON = datetime(2026, 3, 6, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
TIME = MeterState(
    rate_micros=360_000,
    quantum=MICROSECONDS_PER_HOUR,
    units=0,
    settled_at=NOON,
    running=True,
    posted_micros=0,
    share_units=0,
    host_share_bps=7_500,
)


def settle(meter: MeterState, now: datetime) -> tuple[MeterState, Charge]:
    charge = charge_at(meter, now)
    settled = replace(
        meter,
        units=units_at(meter, now),
        settled_at=max(now, meter.settled_at),
        posted_micros=meter.posted_micros + charge.total_micros,
        share_units=meter.share_units + charge.total_micros * meter.host_share_bps,
    )
    return settled, charge


@given(
    rate=st.integers(0, 10**9),
    bps=st.integers(0, 10_000),
    steps=st.lists(st.integers(-(10**9), 10**11), max_size=30),
)
def test_settling_often_bills_what_settling_once_does(rate: int, bps: int, steps: list[int]) -> None:
    meter = replace(TIME, rate_micros=rate, host_share_bps=bps)
    now, latest, host, platform = NOON, NOON, 0, 0
    for step in steps:
        now += step * MICROSECOND
        latest = max(latest, now)
        meter, charge = settle(meter, now)
        assert charge.total_micros >= 0
        assert charge.host_micros >= 0
        assert charge.platform_micros >= 0
        host += charge.host_micros
        platform += charge.platform_micros
    total = rate * ((latest - NOON) // MICROSECOND) // MICROSECONDS_PER_HOUR
    assert host + platform == meter.posted_micros == total
    assert host == total * bps // 10_000


def test_a_changed_share_applies_to_what_follows() -> None:
    meter, first = settle(TIME, NOON + timedelta(hours=1))
    meter, second = settle(replace(meter, host_share_bps=5_000), NOON + timedelta(hours=2))
    assert (first.host_micros, second.host_micros) == (270_000, 180_000)


def test_time_before_the_settled_instant_counts_nothing() -> None:
    assert total_micros_at(TIME, NOON - timedelta(days=1)) == 0


def test_paused_meters_and_traffic_do_not_count_time() -> None:
    traffic = replace(TIME, running=False, quantum=BYTES_PER_GB, units=10_000 * 1_500_000_000)
    assert total_micros_at(traffic, NOON + timedelta(days=1)) == 15_000


@given(
    balance=st.integers(-(10**6), 10**8),
    parts=st.lists(
        st.tuples(
            st.integers(0, 10**7), st.booleans(), st.integers(0, MICROSECONDS_PER_HOUR * 3), st.integers(-90, 90)
        ),
        max_size=6,
    ),
)
def test_credit_ends_at_the_first_microsecond_without_any(
    balance: int, parts: list[tuple[int, bool, int, int]]
) -> None:
    meters = [
        replace(TIME, rate_micros=rate, running=running, units=units, settled_at=NOON + timedelta(seconds=skew))
        for rate, running, units, skew in parts
    ]
    end = zero_at(balance, meters, NOON, previous=None)
    if not any(meter.running and meter.rate_micros for meter in meters):
        assert end is None
    elif balance_micros_at(balance, meters, NOON) <= 0:
        assert end == NOON
    else:
        assert end is not None
        assert balance_micros_at(balance, meters, end) <= 0
        assert balance_micros_at(balance, meters, end - MICROSECOND) > 0


def test_settling_does_not_move_the_end_of_credit() -> None:
    later = NOON + timedelta(minutes=7, microseconds=3)
    other = replace(TIME, rate_micros=77_777)
    settled = [settle(meter, later)[0] for meter in (TIME, other)]
    spent = unposted_micros(TIME, later) + unposted_micros(other, later)
    before = zero_at(1_234_567, [TIME, other], NOON, previous=None)
    assert zero_at(1_234_567 - spent, settled, later, previous=before) == before


def test_a_debt_keeps_the_instant_it_began() -> None:
    began = NOON - timedelta(hours=5)
    assert zero_at(-10, [TIME], NOON, previous=began) == began
    assert zero_at(-10, [TIME], NOON, previous=NOON + timedelta(hours=1)) == NOON
    assert zero_at(0, [], NOON, previous=began) is None


def test_credit_beyond_the_calendar_does_not_end() -> None:
    assert zero_at(10**15, [replace(TIME, rate_micros=1)], NOON, previous=None) is None


@pytest.mark.parametrize("rate_micros", [-1, 10**12 + 1])
def test_refuses_impossible_rates(rate_micros: int) -> None:
    with pytest.raises(InvalidRateError):
        check_rate(rate_micros)


@pytest.mark.parametrize("share_bps", [-1, 10_001])
def test_refuses_impossible_shares(share_bps: int) -> None:
    with pytest.raises(InvalidShareError):
        check_share(share_bps)


@pytest.mark.parametrize("lines", [(Line(1, 5), Line(2, -4)), (Line(1, 0), Line(2, 0)), ()])
def test_refuses_entries_that_do_not_balance_or_move_nothing(lines: tuple[Line, ...]) -> None:
    with pytest.raises(UnbalancedEntryError):
        EntryDraft(idempotency_key="k", kind="usage", memo="", occurred_at=NOON, lines=lines)
