"""How measurements are joined: the rules alone."""

from datetime import UTC, datetime, timedelta
from functools import reduce

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from agent.telemetry_protocol import GpuFigures, MachineFigures, Stat, TaskFigures, joined, joined_stat, stat
from hosting.domain.telemetry import (
    LEVELS,
    PERIODS,
    Content,
    Stored,
    in_slots,
    level_of,
    packed,
    slot_start,
    together,
    unpacked,
)

T0 = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
values = st.none() | st.integers(-1000, 1_000_000)
MINUTE = timedelta(minutes=1)


def stats(looks: list[int | None]) -> Stat | None:
    return reduce(joined_stat, [stat(look) for look in looks], None)


@given(st.lists(values), st.lists(values))
def test_parts_joined_are_the_whole(first: list[int | None], second: list[int | None]) -> None:
    whole = stats(first + second)
    assert joined_stat(stats(first), stats(second)) == joined_stat(stats(second), stats(first)) == whole
    known = [look for look in first + second if look is not None]
    if whole is None:
        assert not known
    else:
        assert (whole.least, whole.most, whole.total, whole.count) == (min(known), max(known), sum(known), len(known))


@given(st.lists(st.tuples(values, values), min_size=1))
def test_figures_are_joined_one_by_one(looks: list[tuple[int | None, int | None]]) -> None:
    whole = reduce(joined, [GpuFigures(stat(util), None, stat(heat)) for util, heat in looks])
    assert whole.utilization_percent == stats([util for util, _ in looks])
    assert whole.temperature_c == stats([heat for _, heat in looks])
    assert whole.memory_used_mb is None


def content(value: int) -> Content:
    return Content(
        machine=MachineFigures(stat(value)),
        gpus={value % 3: GpuFigures(stat(value))},
        tasks={value % 2: TaskFigures(stat(value))},
        task_gpus={value % 2: [value % 3]},
    )


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 100)), min_size=1, max_size=60))
def test_joining_twice_loses_nothing(looks: list[tuple[int, int]]) -> None:
    """Minutes to five minutes to hours is the same as minutes to hours, where no minute lies across a border."""
    windows = [Stored(T0 + minute * MINUTE, T0 + (minute + 1) * MINUTE, content(value)) for minute, value in looks]
    hour = LEVELS[2].length
    twice = in_slots(
        [
            Stored(start, start + LEVELS[1].length, window.content)
            for start, window in in_slots(windows, LEVELS[1].length).items()
        ],
        hour,
    )
    once = in_slots(windows, hour)
    assert list(once) == list(twice)
    for start, window in once.items():
        assert window.content.machine == twice[start].content.machine
        assert window.content.gpus == twice[start].content.gpus
        assert window.content.tasks == twice[start].content.tasks


def test_what_is_stored_comes_back() -> None:
    whole = together([content(value) for value in range(7)])
    assert unpacked(packed(whole)) == whole
    assert whole.machine.cpu_percent == Stat(0, 6, 21, 7)


def test_a_minute_of_a_machine_with_four_gpus_and_two_tasks_is_small() -> None:
    """What ARCHITECTURE.md reckons with: whole numbers where sensors give them, fractions where they don't."""
    whole, broken, none = Stat(11.0, 98.0, 12_345.0, 4), Stat(11.5, 98.25, 512.125, 4), Stat(0, 0, 0, 4)
    content = Content(
        machine=MachineFigures(broken, whole, broken, broken, broken),
        gpus={1000 + index: GpuFigures(whole, whole, whole, broken, none, none, none) for index in range(4)},
        tasks={2000 + index: TaskFigures(broken, whole, whole, broken, broken) for index in range(2)},
        task_gpus={2000 + index: [1000 + index] for index in range(2)},
    )
    assert len(packed(content)) < 700


@pytest.mark.parametrize(("seconds", "level"), [(0, 0), (60, 0), (120, 0), (121, 1), (600, 1), (601, 2), (90_000, 2)])
def test_long_windows_begin_coarse(seconds: int, level: int) -> None:
    assert level_of(T0, T0 + timedelta(seconds=seconds)) == level


@given(st.integers(0, 10**9), st.sampled_from([step for _, step in PERIODS.values()]))
def test_slots_hold_their_moments(seconds: int, length: timedelta) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    start = slot_start(moment, length)
    assert start <= moment < start + length
    assert slot_start(start, length) == start


def test_figures_of_agents_that_count_no_errors_go_on() -> None:
    class Before(Struct, array_like=True):
        """What a window had of a GPU before."""

        utilization_percent: Stat
        memory_used_mb: Stat | None = None

    seen = Stat(1.0, 2.0, 3.0, 2)
    assert msgspec.json.decode(msgspec.json.encode(Before(seen)), type=GpuFigures) == GpuFigures(seen)
    counted = GpuFigures(seen, new_xids=seen)
    assert msgspec.json.decode(msgspec.json.encode(counted), type=Before).utilization_percent == seen
