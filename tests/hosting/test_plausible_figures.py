"""What strangers' machines tell can't break anybody's page: bounds, joins, rows that can't be read, and the quota."""

import itertools
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry_protocol import GpuFigures, GpuReading, MachineFigures, Stat, TaskFigures, TaskReading, Window
from hosting.domain.plausible import LIMITS, MOST_GPUS, plausible_figures, plausible_live
from hosting.domain.telemetry import MOST_AN_HOUR, content_of, packed, together, unpacked
from hosting.models import TelemetryWindow
from hosting.services.telemetry_sweeps import telemetry_sweep
from hosting.telemetry import live_of, machine_history
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.plumbing.telemetry import TestSensors, window

HOUR = timedelta(hours=1)
HUGE = Stat(0.0, 1.0, 1e18, 2**53)

numbers = st.floats(-1e18, 1e18) | st.integers(-10, 110).map(float)
stats = st.none() | st.builds(Stat, numbers, numbers, numbers, st.integers(0, 2**53) | st.integers(0, 5))


def told(figures: GpuFigures, seconds: float = 60.0) -> Window:
    return Window(
        number=0,
        age_seconds=0.0,
        seconds=seconds,
        machine=MachineFigures(figures.utilization_percent),
        gpus={"GPU-1": figures},
        tasks={1: TaskFigures(figures.power_w)},
        task_gpus={1: ["GPU-1"] * 3},
    )


@given(st.lists(st.builds(GpuFigures, stats, stats, stats, stats), min_size=1, max_size=5), st.floats(0, 300))
def test_whatever_is_told_can_be_read_again_however_it_is_joined(figures: list[GpuFigures], seconds: float) -> None:
    contents = [content_of(told(each, seconds), {"GPU-1": 7}, frozenset({1})) for each in figures]
    whole = unpacked(packed(together(contents * 10)))
    assert whole is not None
    assert whole.task_gpus == {1: [7]}
    for name in GpuFigures.__struct_fields__:
        stat = getattr(whole.gpus[7], name)
        assert stat is None or LIMITS[name][0] <= stat.least <= stat.most <= LIMITS[name][1]


@pytest.mark.parametrize(
    "mad",
    [
        Stat(0.0, 100.0, 400.0, 2**53),
        Stat(0.0, 100.0, 1e18, 4),
        Stat(0.0, 100.1, 200.0, 4),
        Stat(-0.1, 100.0, 200.0, 4),
        Stat(50.0, 40.0, 180.0, 4),
        Stat(0.0, 100.0, 0.0, 0),
        Stat(0.0, 100.0, 5000.0, 71),
    ],
)
def test_what_can_not_be_is_left_out_and_takes_nothing_with_it(mad: Stat) -> None:
    sane = Stat(60.0, 61.0, 241.0, 4)
    assert plausible_figures(GpuFigures(mad, None, sane), 60.0) == GpuFigures(None, None, sane)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=70))
def test_what_was_really_seen_is_kept(looks: list[float]) -> None:
    seen = Stat(min(looks), max(looks), sum(looks), len(looks))
    assert plausible_figures(GpuFigures(seen), 60.0) == GpuFigures(seen)


@pytest.fixture
def agent() -> TestAgent:
    return market.listed_machine(gpus=2)


@pytest.fixture
def sensors(agent: TestAgent) -> TestSensors:
    return TestSensors(agent.machine, session_id=f"plausible-{next(_sessions)}")


_sessions = itertools.count()


@pytest.mark.django_db
def test_the_latest_look_is_shown_without_what_can_not_be(sensors: TestSensors) -> None:
    sensors.change(0, utilization_percent=1e18, temperature_c=2**30, throttle=["heat"] * 1000)
    sensors.tasks = [TaskReading(task_id=1, gpu_uuids=["GPU-X"] * 5000, cpu_percent=-4.0)]
    sensors.tell(T0)
    live = live_of([sensors.machine.pk])[sensors.machine.pk]
    first = live.gpus[0]
    assert (first.utilization_percent, first.temperature_c, first.power_w) == (None, None, 300.0)
    assert first.throttle == ["heat"]
    assert live.tasks == [TaskReading(task_id=1, gpu_uuids=["GPU-X"])]
    many = msgspec.structs.replace(live, gpus=[GpuReading(uuid=f"GPU-{n}") for n in range(5000)])
    assert len(plausible_live(many).gpus) == MOST_GPUS


def spoilt(agent: TestAgent, age: timedelta) -> TelemetryWindow:
    """A row from before there were any bounds."""
    machine = {"cpu_percent": [0, 1, 10**19, 2**54]}
    content = msgspec.msgpack.encode([list(machine.values()), {}, {}, {}])
    started = T0 - age
    return TelemetryWindow.objects.create(
        machine=agent.machine, started_at=started, ended_at=started + timedelta(minutes=1), level=0, content=content
    )


@pytest.mark.django_db
def test_a_row_that_can_not_be_read_is_left_out_of_charts_and_of_joins(agent: TestAgent, sensors: TestSensors) -> None:
    sensors.tell(T0, window(agent.machine, 0, 60))
    spoilt(agent, timedelta(minutes=2))
    shown = machine_history(agent.machine, "1h", T0)
    assert [one.average for one in shown.charts[0].series] == [50.0, 50.0]
    telemetry_sweep(now=T0 + 4 * HOUR)
    (row,) = TelemetryWindow.objects.filter(machine=agent.machine)
    assert row.level == 1
    assert unpacked(bytes(row.content)) is not None


@pytest.mark.django_db
def test_huge_sums_do_not_reach_the_rows(agent: TestAgent, sensors: TestSensors) -> None:
    def huge(number: int) -> Window:
        machine = MachineFigures(HUGE, HUGE, HUGE, HUGE, HUGE)
        return msgspec.structs.replace(window(agent.machine, number, 60.0 * (4 - number)), machine=machine)

    sensors.tell(T0, *[huge(number) for number in range(4)])
    assert telemetry_sweep(now=T0 + 4 * HOUR) == 4
    shown = machine_history(agent.machine, "24h", T0)
    assert shown.charts[0].series[0].average == 50.0
    assert shown.charts[4].series[0].average is None


@pytest.mark.django_db
def test_no_more_windows_than_a_machine_can_have_to_tell(
    agent: TestAgent, sensors: TestSensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hosting.domain.telemetry.MOST_AN_HOUR", 3)
    assert MOST_AN_HOUR > 240 + 60

    def tell(now: Any, *numbers: int) -> int:
        return sensors.tell(now, *[window(agent.machine, number, 0) for number in numbers])

    stored = TelemetryWindow.objects.filter(machine=agent.machine)
    assert (tell(T0, 0, 1), stored.count()) == (1, 2)
    assert (tell(T0, 2, 3), stored.count()) == (3, 3)
    sensors.session_id += "-again"
    assert (tell(T0, 0), stored.count()) == (0, 3)
    assert (tell(T0 + HOUR, 1), stored.count()) == (1, 4)
