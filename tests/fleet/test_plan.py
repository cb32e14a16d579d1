"""What a drill draws from its seed, and how its containers behave."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inventory.simulated import parse
from agent.protocol import ERASED
from scripts.fleet import plan
from scripts.fleet.clock import Clock
from scripts.fleet.tally import Tally, spread
from scripts.fleet.tasks import SimulatedTasks
from tests.agent.fakes import changed, task

SEEDS = st.integers(0, 2**32)


class ManualClock(Clock):
    """Does what is due when told to."""

    def run(self) -> None:
        while self._due:
            self._due.sort()
            self._due.pop(0)[2]()


class Life:
    """Simulated containers, and how often they said that something changed."""

    def __init__(self, *, fails: float = 0.0) -> None:
        self.clock, self.changes = ManualClock(), 0
        rates = plan.Rates({}, start_fails=fails)
        self.tasks = SimulatedTasks(self.clock, rates, random.Random(1), self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def seen(self) -> list[tuple[str, int]]:
        self.clock.run()
        return [(each.phase, each.run_generation) for each in self.tasks.observed()]


@given(SEEDS, st.integers(0, 60), st.integers(0, 60))
def test_a_larger_fleet_begins_with_the_smaller_one(seed: int, small: int, more: int) -> None:
    machines = plan.machines(small + more, seed)
    assert plan.machines(small, seed) == machines[:small]
    assert len({machine.name for machine in machines}) == len(machines)
    assert all(parse(machine.simulate) for machine in machines)


@given(SEEDS, st.floats(0.01, 100))
def test_events_come_as_often_as_their_rates_say(seed: int, times: float) -> None:
    rates = plan.Rates.quiet(times)
    dice = random.Random(seed)
    drawn = [plan.next_event(rates, dice) for _ in range(50)]
    events = [each for each in drawn if each is not None]
    assert len(events) == 50
    assert all(seconds >= 0 and event in rates.per_hour for seconds, event in events)
    assert sum(seconds for seconds, _ in events) < 50 * 20 * plan.HOUR_SECONDS / rates.together


def test_where_nothing_happens_nothing_is_expected() -> None:
    assert plan.next_event(plan.Rates({}, 0.0), random.Random(1)) is None


@given(SEEDS, st.dictionaries(st.integers(1, 9), st.sampled_from(["running", "stopped", "outbid"]), max_size=3))
def test_clients_do_only_what_can_be_done(seed: int, states: dict[int, str]) -> None:
    what, number = plan.client_step(states, 2, random.Random(seed))
    if number is None:
        assert what in ("rent", "bid")
        assert len(states) < 2
    else:
        assert number in states
        assert what != "start" or states[number] == "stopped"
        assert what != "stop" or states[number] != "stopped"


@given(st.floats(0.0, 50.0), SEEDS)
def test_prices_stay_prices(before: float, seed: int) -> None:
    assert plan.price(before, random.Random(seed)) >= 0.05


def test_a_container_runs_stops_runs_again_and_goes() -> None:
    life, wish = Life(), task()
    life.tasks.apply([wish])
    assert life.seen() == [("running", 1)]
    assert life.tasks.busy() == {1: ["GPU-1"]}
    life.tasks.apply([changed(wish, state="stopped")])
    assert life.seen() == [("stopped", 1)]
    life.tasks.apply([changed(wish, run_generation=2)])
    assert life.seen() == [("running", 2)]
    life.tasks.apply([changed(wish, run_generation=2, state="removed")])
    assert life.seen() == [("removed", 2)]
    assert life.tasks.observed()[0].erased == list(ERASED)
    life.tasks.apply([])
    assert life.seen() == []
    assert life.changes > 0


def test_what_is_overtaken_does_nothing() -> None:
    life, wish = Life(), task()
    life.tasks.apply([wish])
    life.tasks.apply([changed(wish, state="removed")])
    assert life.seen() == [("removed", 1)]


def test_a_start_that_fails_says_why_and_a_reboot_ends_what_ran() -> None:
    failing = Life(fails=1.0)
    failing.tasks.apply([task()])
    assert failing.seen() == [("failed", 1)]
    assert failing.tasks.observed()[0].reason == "engine_error"
    life = Life()
    life.tasks.apply([task()])
    assert life.seen() == [("running", 1)]
    life.tasks.reboot()
    assert life.seen() == [("exited", 1)]
    assert life.tasks.observed()[0].reason == "engine_down"


@pytest.mark.parametrize(
    ("seconds", "told"), [([0.001], "1/1 ms"), ([0.01] * 99 + [1.0], "10/10 ms"), ([1, 2, 3], "2000/3000 ms")]
)
def test_latencies_are_told_by_their_median_and_their_tail(seconds: list[float], told: str) -> None:
    assert spread(seconds) == told


def test_a_line_tells_states_latencies_and_errors() -> None:
    tally = Tally()
    tally.took("sync", 0.02)
    tally.count("error: sync")
    tally.count("destroy")
    line = tally.line({"machines online": 3})
    assert "3 machines online  sync 20/20 ms  1x error: sync" in line
    assert tally.counts() == {"sync": 1, "error: sync": 1, "destroy": 1}
