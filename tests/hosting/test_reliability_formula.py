"""Reliability as a pure function of what is recorded."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hosting.domain.beta import HALF_LIFE, Beta, Track, faded_sum, product_lower, product_mean
from hosting.domain.reliability import (
    EXPONENTS,
    Fact,
    Kind,
    Outage,
    Period,
    Record,
    Standing,
    advance,
    midnight,
    outages,
    reliability_of,
    stretches,
)

T0 = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LISTED = (Fact(T0, Kind.ONLINE), Fact(T0, Kind.LISTED))


def down(start: datetime, end: datetime) -> tuple[Fact, Fact]:
    return Fact(start, Kind.OFFLINE), Fact(end, Kind.ONLINE)


def after(days: float = 1, facts: tuple[Fact, ...] = LISTED, **periods: tuple[Period, ...]) -> Standing:
    record = Record(tuple(sorted(facts, key=lambda fact: fact.at)), **periods)
    return advance(Standing(T0), record, T0 + days * DAY)


def hours_down(*facts: Fact, **periods: tuple[Period, ...]) -> float:
    """The weight of down-time after a day."""
    return after(1, (*LISTED, *facts), **periods).availability.bad


def test_without_a_history_it_is_what_the_priors_say() -> None:
    figures = reliability_of(Standing(T0))
    assert (figures.availability, figures.launches, figures.checks) == (23 / 24, 0.9, 0.9)
    assert figures.shown == round(23 / 24 * 0.9**0.5 * 0.9**0.25, 4) == 0.8855
    assert figures.lower == 0.7963


def test_a_machine_that_is_neither_listed_nor_rented_proves_nothing() -> None:
    assert after(10, (Fact(T0, Kind.ONLINE), *down(T0 + HOUR, T0 + 2 * HOUR))).availability == Track()


def test_time_counts_in_hours_and_half_of_it_after_thirty_days() -> None:
    first = after(1).availability
    assert first.good == pytest.approx(24, rel=0.02)
    assert first.bad == 0
    gone = after(31, (*LISTED, Fact(T0 + DAY, Kind.UNLISTED))).availability
    assert gone.good == pytest.approx(first.good / 2, rel=1e-12)
    assert faded_sum(HALF_LIFE.total_seconds()) == pytest.approx(HALF_LIFE.total_seconds() * 0.7213475, rel=1e-6)


def test_rented_time_counts_without_a_listing() -> None:
    rented = (Period(T0 + HOUR, T0 + 3 * HOUR),)
    standing = after(1, (Fact(T0, Kind.ONLINE),), rented=rented)
    assert standing.availability.good == pytest.approx(2, rel=0.03)


@pytest.mark.parametrize(
    ("minutes", "rented", "hours"),
    [(30, False, 0.5), (180, False, 3.0), (180, True, 15.0), (5, True, 5.0), (60, True, 5.0)],
)
def test_down_time_that_hits_rentals_weighs_five_times_and_counts_an_hour_at_least(
    minutes: int, rented: bool, hours: float
) -> None:
    begins, ends = T0 + 20 * HOUR, T0 + 20 * HOUR + timedelta(minutes=minutes)
    periods = (Period(T0 + HOUR, T0 + DAY),) if rented else ()
    assert hours_down(*down(begins, ends), rented=periods) == pytest.approx(hours, rel=0.01)


def test_an_engine_that_is_down_is_a_machine_that_is_down() -> None:
    facts = Fact(T0 + 20 * HOUR, Kind.ENGINE_FAILS), Fact(T0 + 22 * HOUR, Kind.ENGINE_WORKS)
    assert hours_down(*facts) == pytest.approx(2, rel=0.01)


def test_announced_maintenance_does_not_count_unless_somebody_rents() -> None:
    silence = down(T0 + 20 * HOUR, T0 + 22 * HOUR)
    window = (Period(T0 + 19 * HOUR, T0 + 21 * HOUR),)
    assert hours_down(*silence, maintenance=window) == pytest.approx(1, rel=0.01)
    rented = (Period(T0, T0 + DAY),)
    assert hours_down(*silence, maintenance=window, rented=rented) == pytest.approx(10, rel=0.01)


def test_our_own_outages_count_for_and_against_nobody() -> None:
    silence = down(T0 + 20 * HOUR, T0 + 22 * HOUR)
    ours = (Period(T0 + 19 * HOUR, T0 + 22 * HOUR),)
    standing = after(1, (*LISTED, *silence), own_outages=ours, rented=(Period(T0, T0 + DAY),))
    assert standing.availability.bad == 0
    assert standing.availability.good == pytest.approx(21, rel=0.02)


def test_launches_and_checks_are_counted() -> None:
    kinds = [Kind.LAUNCHED] * 3 + [Kind.LAUNCH_FAILED] + [Kind.CHECK_PASSED] * 2 + [Kind.CHECK_FAILED]
    standing = after(1, tuple(Fact(T0 + 24 * HOUR - timedelta(microseconds=1), kind) for kind in kinds))
    assert (standing.launches.good, standing.launches.bad) == pytest.approx((3, 1))
    assert (standing.checks.good, standing.checks.bad) == pytest.approx((2, 1))
    figures = reliability_of(standing)
    assert (figures.launches, figures.checks) == pytest.approx((12 / 14, 11 / 13))


def test_outages_are_told_with_what_counts_of_them() -> None:
    facts = (*LISTED, *down(T0 + HOUR, T0 + 2 * HOUR), *down(T0 + 30 * HOUR, T0 + 33 * HOUR))
    record = Record(
        facts,
        rented=(Period(T0 + 32 * HOUR, T0 + 40 * HOUR),),
        own_outages=(Period(T0 + 30 * HOUR, T0 + 31 * HOUR),),
    )
    told = outages(stretches(Standing(T0), record, T0 + 3 * DAY))
    assert told == [
        Outage(T0 + HOUR, T0 + 2 * HOUR, HOUR, False),
        Outage(T0 + 30 * HOUR, T0 + 33 * HOUR, 2 * HOUR, True),
    ]


def test_an_outage_that_is_all_ours_is_not_told() -> None:
    record = Record((*LISTED, *down(T0 + HOUR, T0 + 2 * HOUR)), own_outages=(Period(T0, T0 + DAY),))
    assert outages(stretches(Standing(T0), record, T0 + DAY)) == []


def test_the_worked_example() -> None:
    """The example of ARCHITECTURE.md: ten days listed, then rented, with one outage of each kind."""
    rented = (Period(T0 + 9 * DAY, T0 + 10 * DAY),)
    quiet = down(T0 + 8 * DAY, T0 + 8 * DAY + 3 * HOUR)
    hit = down(T0 + 9 * DAY + 12 * HOUR, T0 + 9 * DAY + 12 * HOUR + timedelta(minutes=10))
    launched = tuple(Fact(T0 + 9 * DAY, kind) for kind in [Kind.LAUNCHED] * 4 + [Kind.LAUNCH_FAILED])
    checked = tuple(Fact(T0 + day * DAY, Kind.CHECK_PASSED) for day in range(1, 10))
    standing = after(10, (*LISTED, *quiet, *launched, *hit, *checked), rented=rented)
    assert [round(weight, 2) for weight in (standing.availability.good, standing.availability.bad)] == [211.26, 7.81]
    assert [round(weight, 2) for weight in (standing.launches.good, standing.launches.bad)] == [3.91, 0.98]
    assert [round(weight, 2) for weight in (standing.checks.good, standing.checks.bad)] == [8.03, 0.0]
    figures = reliability_of(standing)
    means = [round(mean, 4) for mean in (figures.availability, figures.launches, figures.checks)]
    assert means == [0.9638, 0.8672, 0.9445]
    assert (figures.shown, figures.lower) == (0.8848, 0.8185)


kinds = st.sampled_from(Kind)
minutes = st.integers(0, 6 * 24 * 60)
periods = st.lists(st.tuples(minutes, minutes), max_size=4).map(
    lambda spans: tuple(Period(T0 + timedelta(minutes=min(s)), T0 + timedelta(minutes=max(s))) for s in spans)
)
records = st.builds(
    Record,
    facts=st.lists(st.tuples(minutes, kinds), max_size=25).map(
        lambda told: tuple(Fact(T0 + timedelta(minutes=at), kind) for at, kind in sorted(told))
    ),
    rented=periods,
    maintenance=periods,
    own_outages=periods,
)


@given(record=records, end=minutes, nights=st.sets(st.integers(1, 6)))
def test_going_on_from_any_midnights_gives_the_same_to_the_last_bit(record: Record, end: int, nights: set[int]) -> None:
    until = T0 + timedelta(minutes=end)
    step_by_step = Standing(T0)
    for night in sorted(nights):
        step_by_step = advance(step_by_step, record, min(midnight(T0 + night * DAY), until))
    assert advance(step_by_step, record, until) == advance(Standing(T0), record, until)


@given(record=records, end=minutes)
def test_more_down_time_or_failures_are_never_better(record: Record, end: int) -> None:
    """While nobody rents: of what hits rentals, two short outages may count more than a long one."""
    until, record = T0 + timedelta(minutes=end), replace(record, rented=())
    bad = {Kind.LAUNCHED: Kind.LAUNCH_FAILED, Kind.CHECK_PASSED: Kind.CHECK_FAILED, Kind.ONLINE: Kind.OFFLINE}
    facts = tuple(Fact(fact.at, bad.get(fact.kind, fact.kind)) for fact in record.facts)
    worse = replace(record, facts=facts)
    better_standing, worse_standing = (advance(Standing(T0), one, until) for one in (record, worse))
    assert reliability_of(worse_standing).shown <= reliability_of(better_standing).shown


betas = st.builds(Beta, st.floats(0.5, 2000), st.floats(0.5, 2000))


@given(st.tuples(betas, betas, betas))
def test_the_lower_figure_is_below_the_shown_one(chosen: tuple[Beta, Beta, Beta]) -> None:
    factors = list(zip(chosen, EXPONENTS, strict=True))
    assert 0 < product_lower(factors) < product_mean(factors) < 1


@pytest.mark.parametrize(
    "parameters",
    [
        ((23, 1), (9, 1), (9, 1)),
        ((800, 2), (60, 1), (40, 1)),
        ((500, 60), (30, 6), (9, 4)),
        ((23, 200), (9, 9), (9, 20)),
    ],
)
def test_one_case_of_ten_is_below_the_lower_figure(parameters: tuple[tuple[float, float], ...]) -> None:
    dice = random.Random(1)
    chosen = [(Beta(*pair), exponent) for pair, exponent in zip(parameters, EXPONENTS, strict=True)]
    limit = product_lower(chosen)
    below = 0
    for _ in range(20_000):
        product = 1.0
        for beta, exponent in chosen:
            product *= dice.betavariate(beta.a, beta.b) ** exponent
        below += product < limit
    assert below / 20_000 == pytest.approx(0.1, abs=0.01)
