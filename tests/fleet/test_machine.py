"""One simulated machine's ups and downs, on a virtual clock and without a server."""

import heapq
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from agent.pool import Pool
from agent.telemetry_protocol import TelemetryReply, TelemetryRequest
from scripts.fleet import machine as drill_machine
from scripts.fleet import plan
from scripts.fleet.api import Api
from scripts.fleet.clock import Clock
from scripts.fleet.machine import Drill, KnownMachine, Machine, TimedClient
from scripts.fleet.tally import Tally

HOUR = 3600.0


class VirtualClock(Clock):
    """Time passes from one thing that is due to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0
        self._order = itertools.count()

    def now(self) -> float:
        return self.time

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.time + seconds, next(self._order), action))

    def run(self, until: float) -> None:
        while self._due and self._due[0][0] <= until:
            self.time, _, action = heapq.heappop(self._due)
            action()


class AtOnce(Pool):
    """No threads."""

    def submit(self, job: Callable[[], None]) -> None:
        job()


class Host(Api):
    """Says yes to everything."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", "key")

    def call(self, _method: str, _path: str, _body: dict[str, Any] | None = None) -> dict[str, Any]:
        return {}


class Loops:
    """Stands for the sync loops of a machine, and knows which are live."""

    def __init__(self) -> None:
        self.live: list[object] = []
        self.begun = self.most = 0

    def loop(self) -> type:
        loops = self

        class Loop:
            def __init__(self, *_: object, **__: object) -> None: ...

            def start(self) -> None:
                loops.live.append(self)
                loops.begun += 1
                loops.most = max(loops.most, len(loops.live))

            def stop(self) -> None:
                loops.live.remove(self)

            def report(self) -> None: ...

        return Loop


class Told:
    """What the machine measured, as the server gets it."""

    def __init__(self) -> None:
        self.requests: list[TelemetryRequest] = []

    def take(self, _base: str, _credential: str, request: TelemetryRequest) -> TelemetryReply:
        self.requests.append(request)
        return TelemetryReply(received=request.windows[-1].number if request.windows else -1)

    def windows(self) -> list[tuple[str, int]]:
        return [(each.session_id, window.number) for each in self.requests for window in each.windows]


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> Loops:
    loops = Loops()
    monkeypatch.setattr(drill_machine, "SyncLoop", loops.loop())
    return loops


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    told = Told()
    monkeypatch.setattr(TimedClient, "tell", told.take)
    return told


def machine(clock: VirtualClock, rates: plan.Rates, seed: int = 1) -> Machine:
    drill = Drill(
        server="http://127.0.0.1:9",
        host=Host(),
        clock=clock,
        pool=AtOnce(1, "none"),
        tally=Tally(),
        rates=rates,
        seed=seed,
    )
    known = KnownMachine("boot", 1, "sym_x", "http://127.0.0.1:9/api/agent/v1/sync")
    return Machine(drill, plan.machines(1, seed)[0], known)


@pytest.mark.parametrize("seed", range(5))
def test_it_has_one_live_session_at_the_most_however_much_happens(loops: Loops, told: Told, seed: int) -> None:
    clock = VirtualClock()
    busy = machine(clock, plan.Rates.quiet(200), seed)
    busy.start()
    clock.run(24 * HOUR)
    assert loops.begun > 100, "it was away often"
    assert loops.most == 1
    assert len(loops.live) == busy.is_online
    assert told.requests
    busy.stop()
    clock.run(48 * HOUR)
    assert loops.live == [], "who was away comes back no more"


def test_it_comes_back_each_time_and_things_go_on(loops: Loops, told: Told) -> None:
    clock = VirtualClock()
    going = machine(clock, plan.Rates({"offline": 20.0}, 0.0))
    going.start()
    for hour in range(1, 25):
        before = loops.begun
        clock.run(hour * HOUR)
        assert loops.begun > before
    assert told.requests


def test_it_tells_what_it_measured_in_windows_each_once(loops: Loops, told: Told) -> None:
    clock = VirtualClock()
    quiet = machine(clock, plan.Rates({}, 0.0))
    quiet.start()
    clock.run(HOUR)
    assert loops.most == 1
    numbers = [number for _, number in told.windows()]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) in (58, 59), "a minute each, but for the one that is open"
    window = told.requests[-1].windows or told.requests[-2].windows or told.requests[-3].windows
    assert all(figures.temperature_c is not None for each in window for figures in each.gpus.values())


def test_cut_off_it_measures_on_and_restarted_it_begins_anew(told: Told, loops: Loops) -> None:
    cut = VirtualClock()
    machine(cut, plan.Rates({"offline": 12.0}, 0.0)).start()
    cut.run(6 * HOUR)
    assert loops.begun > 10
    assert len({session for session, _ in told.windows()}) == 1
    numbers = [number for _, number in told.windows()]
    assert numbers == list(range(len(numbers))), "nothing of the time away is missing"
    told.requests.clear()
    restarted = VirtualClock()
    machine(restarted, plan.Rates({"reboot": 12.0}, 0.0)).start()
    restarted.run(6 * HOUR)
    assert len({session for session, _ in told.windows()}) > 10
