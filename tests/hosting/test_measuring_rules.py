"""The pure rules of measurements: states, when one is due, when it may run, and what counts as a drop."""

from datetime import UTC, datetime, timedelta
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlperf.domain.history import DROP_SHARE, RUNS_COMPARED, compare
from hosting.domain import measuring as rules
from hosting.domain.measuring import Action, Past, due_reason, hardware_digest, overdue, pause_after, plan

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
scores = st.floats(0.01, 1000.0)
gpu_sets = st.sets(st.integers(1, 4))


def test_the_table_of_states() -> None:
    moves = {(old, new) for old in rules.STATES for new in rules.STATES if rules.can_move(old, new)}
    assert moves == {
        ("waiting", "running"),
        ("running", "waiting"),
        ("running", "succeeded"),
        ("running", "failed"),
    }


@pytest.mark.parametrize(
    ("past", "listed_at", "reason"),
    [
        (Past(), None, "first"),
        (Past(failed_at=NOW - DAY + timedelta(seconds=1), failed_hardware="now"), None, ""),
        (Past(failed_at=NOW, failed_hardware="then"), None, "first"),
        (Past(failed_at=NOW - DAY), None, "first"),
        (Past(measured_at=NOW - DAY, hardware="now"), None, ""),
        (Past(measured_at=NOW - DAY, hardware="then"), None, "hardware"),
        (Past(measured_at=NOW - DAY, hardware="then", failed_at=NOW, failed_hardware="now"), None, ""),
        (Past(measured_at=NOW - 2 * DAY, hardware="now"), NOW - 2 * DAY, ""),
        (Past(measured_at=NOW - 2 * DAY, hardware="now"), NOW - DAY, ""),
        (Past(measured_at=NOW - 2 * DAY, hardware="now"), NOW, "listing"),
        (Past(measured_at=NOW - 7 * DAY + timedelta(seconds=1), hardware="now"), None, ""),
        (Past(measured_at=NOW - 7 * DAY, hardware="now"), None, "weekly"),
    ],
)
def test_when_a_benchmark_is_due(past: Past, listed_at: datetime | None, reason: str) -> None:
    assert due_reason(past, hardware="now", listed_at=listed_at, now=NOW) == reason


def test_each_fact_of_the_hardware_counts() -> None:
    digests = {hardware_digest(*facts) for facts in (("a", 1), ("a", 2), ("b", 1), ("a", 1, "c"), (["a", 1],))}
    assert len(digests) == 5
    assert hardware_digest("a", 1) == hardware_digest("a", 1)


def test_limits_of_a_run() -> None:
    def at(seconds: float, running_since: float | None = None) -> str:
        since = None if running_since is None else NOW + timedelta(seconds=running_since)
        return overdue(ordered_at=NOW, running_since=since, now=NOW + timedelta(seconds=seconds))

    assert (at(7200), at(7201)) == ("", "start_timeout")
    assert (at(7700, 7100), at(7701, 7100)) == ("", "run_timeout")


def test_pauses_grow_and_end() -> None:
    pauses = [pause_after(failures) for failures in range(1, 6)]
    assert pauses[-1] is None
    assert pauses[:-1] == sorted(filter(None, pauses))


@pytest.mark.parametrize(
    ("state", "unclaimed", "free", "may_start", "action", "off"),
    [
        ("waiting", {1, 2}, {1, 2}, True, Action.START, True),
        ("waiting", {1, 2}, {1, 2}, False, None, False),
        ("waiting", {1, 2}, {1}, True, None, True),  # the idle job has yet to leave
        ("waiting", {1}, {1}, True, None, False),
        ("running", {1, 2}, set(), True, None, True),
        ("running", {1}, set(), True, Action.YIELD, False),
    ],
)
def test_what_becomes_of_it(
    state: str, unclaimed: set[int], free: set[int], may_start: bool, action: Action | None, off: bool
) -> None:
    made = plan(state, may_start=may_start, gpu_ids=[1, 2], unclaimed_gpu_ids=unclaimed, free_gpu_ids=free)
    assert (made.action, made.keeps_idle_jobs_off) == (action, off)


@given(st.sampled_from(rules.OPEN), st.booleans(), gpu_sets, gpu_sets, gpu_sets)
def test_it_never_shares_a_machine_with_a_guest(
    state: str, may_start: bool, gpus: set[int], unclaimed: set[int], free: set[int]
) -> None:
    made = plan(state, may_start=may_start, gpu_ids=gpus, unclaimed_gpu_ids=unclaimed, free_gpu_ids=free & unclaimed)
    if made.action is Action.START:
        assert gpus
        assert gpus <= free & unclaimed
    if made.keeps_idle_jobs_off:
        assert gpus <= unclaimed
    if state == rules.RUNNING and not gpus <= unclaimed:
        assert made.action is Action.YIELD


def test_a_tenth_less_than_usual_is_no_drop_yet() -> None:
    usual = [20.0, 21.0, 19.0]
    for score, is_drop in ((20.0, False), (18.01, False), (17.99, True), (40.0, False)):
        comparison = compare(score, usual)
        assert comparison is not None
        assert (comparison.usual, comparison.is_drop) == (20.0, is_drop)
    assert compare(1.0, []) is None
    assert compare(1.0, [0.0]) is None


def test_one_bad_run_changes_nothing_and_lasting_slowness_becomes_usual() -> None:
    after_one = compare(20.0, [20.0, 20.0, 2.0])
    assert after_one is not None
    assert after_one.change == 0
    lasting = compare(10.0, [20.0] * 10 + [10.0] * 6)
    assert lasting is not None
    assert not lasting.is_drop


@given(scores, st.lists(scores, min_size=1, max_size=30))
def test_the_latest_runs_median_is_what_is_usual(score: float, earlier: list[float]) -> None:
    comparison = compare(score, earlier)
    assert comparison is not None
    assert comparison.usual == median(earlier[-RUNS_COMPARED:])
    assert comparison.is_drop == ((score - comparison.usual) / comparison.usual < -DROP_SHARE)


@given(st.lists(scores, min_size=1, max_size=30), scores, st.floats(1.0, 3.0))
def test_a_better_score_is_a_drop_only_where_the_worse_one_is(
    earlier: list[float], score: float, better: float
) -> None:
    worse_one, better_one = compare(score, earlier), compare(score * better, earlier)
    assert worse_one is not None
    assert better_one is not None
    assert worse_one.is_drop or not better_one.is_drop


@given(st.lists(st.floats(0.951, 1.049), min_size=1, max_size=30), st.floats(0.951, 1.049), scores)
def test_noise_of_five_percent_is_never_a_drop(noises: list[float], noise: float, true_score: float) -> None:
    comparison = compare(true_score * noise, [true_score * one for one in noises])
    assert comparison is not None
    assert not comparison.is_drop
