"""The sync loop against a real HTTP server that loses, doubles and delays."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from agent.backoff import Backoff
from agent.pool import Pool
from agent.protocol import PROTOCOL_VERSION, SYNC_PATH, DesiredTask, ErrorReply, Inventory, ObservedTask, SyncReply
from agent.server import RefusedError, ServerAwayError, ServerClient
from agent.sync import Account, Session, Surroundings, SyncLoop
from tests.agent.fakes import task
from tests.agent.marketplace import Marketplace
from tests.agent.test_inventory import inventory


class Machine:
    """Keeps what it is told and reports what the test puts into it."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.tasks: list[ObservedTask] = []
        self.applied: list[list[DesiredTask]] = []
        self.inventory: Inventory = inventory("RTX 3090")
        self.engine_error: str | None = None
        self.sync_urls: list[str] = []
        self.refusals: list[RefusedError] = []

    def observed(self) -> list[ObservedTask]:
        return list(self.tasks)

    def apply(self, desired: Iterable[DesiredTask]) -> None:
        with self.condition:
            self.applied.append(list(desired))
            self.condition.notify_all()

    def refused(self, error: RefusedError) -> None:
        with self.condition:
            self.refusals.append(error)
            self.condition.notify_all()

    def now_in(self, phase: str, run_generation: int = 1) -> None:
        """Its one task is in this phase."""
        self.tasks = [ObservedTask(task_id=1, phase=phase, run_generation=run_generation, age_seconds=0.0)]  # type: ignore[arg-type]  # any phase

    def await_that(self, true: object) -> None:
        with self.condition:
            assert self.condition.wait_for(true, 20)  # type: ignore[arg-type]  # a callable


def quick_backoff() -> Backoff:
    return Backoff(first_seconds=0.01, most_seconds=0.05)


def session_of(machine: Machine, sync_url: str, home_url: str | None = None) -> Session:
    return Session(
        Account(boot_id="boot", credential="secret", sync_url=sync_url, home_url=home_url or sync_url),
        machine,
        Surroundings(
            inventory=lambda: machine.inventory,
            engine_error=lambda: machine.engine_error,
            on_sync_url=machine.sync_urls.append,
            on_refused=machine.refused,
        ),
    )


@contextmanager
def syncing(market: Marketplace, machine: Machine, hold_seconds: float = 10.0) -> Iterator[SyncLoop]:
    market.credentials.add("secret")
    session = session_of(machine, market.url + SYNC_PATH)
    loop = SyncLoop(
        session, client=ServerClient, pool=Pool(4, "test"), hold_seconds=hold_seconds, backoff=quick_backoff
    )
    loop.start()
    yield loop
    loop.stop()


@pytest.fixture
def market() -> Iterator[Marketplace]:
    with Marketplace() as running:
        yield running


def test_tells_who_it_is_and_learns_what_to_do(market: Marketplace) -> None:
    machine = Machine()
    machine.engine_error = "The engine is not running."
    market.desire(task(1))
    with syncing(market, machine):
        machine.await_that(lambda: machine.applied)
        market.await_that(lambda: len(market.syncs) >= 2)
    first, second = market.syncs[:2]
    assert (first.protocol, first.boot_id, first.known_generation) == (PROTOCOL_VERSION, "boot", -1)
    assert (first.hold_seconds, second.hold_seconds) == (0.0, 10.0)
    assert (first.inventory, second.inventory) == (machine.inventory, None)
    assert first.engine_error == "The engine is not running."
    assert second.known_generation == market.generation
    assert second.seq > first.seq
    assert first.session_id == second.session_id
    assert machine.applied[0] == [task(1)]


def test_wishes_reach_a_machine_that_waits(market: Marketplace) -> None:
    machine = Machine()
    with syncing(market, machine, hold_seconds=1000):
        market.await_that(lambda: any(sync.hold_seconds for sync in market.syncs))
        market.desire(task(3))
        machine.await_that(lambda: [task(3)] in machine.applied)


def test_news_of_the_machine_do_not_wait_for_the_held_request(market: Marketplace) -> None:
    machine = Machine()
    with syncing(market, machine, hold_seconds=1000) as loop:
        market.await_that(lambda: any(sync.hold_seconds for sync in market.syncs))
        machine.now_in("running")
        loop.report()
        market.await_phase(1, "running")
    told = next(sync for sync in market.syncs if sync.tasks)
    assert told.hold_seconds == 0.0


def test_passing_phases_are_told_together_with_what_follows(market: Marketplace) -> None:
    machine = Machine()
    with syncing(market, machine, hold_seconds=1000) as loop:
        market.await_that(lambda: any(sync.hold_seconds for sync in market.syncs))
        machine.now_in("creating")
        loop.report(urgent=False)
        machine.now_in("running")
        loop.report(urgent=True)
        market.await_phase(1, "running")
    assert [phase for phase, _ in market.phases(1)] == ["running"]


def test_a_passing_phase_that_lasts_is_told(market: Marketplace) -> None:
    machine = Machine()
    with syncing(market, machine, hold_seconds=1000) as loop:
        machine.now_in("starting")
        loop.report(urgent=False)
        market.await_phase(1, "starting")


@pytest.mark.parametrize("fault", ["lose_request", "lose_reply", "server_error", "garbage"])
def test_every_fault_costs_only_time(market: Marketplace, fault: str) -> None:
    machine = Machine()
    market.faults.extend([fault] * 7)  # type: ignore[list-item]  # one of the literals
    with syncing(market, machine, hold_seconds=1000) as loop:
        market.await_that(lambda: any(sync.hold_seconds for sync in market.syncs))
        market.desire(task(1))
        machine.await_that(lambda: [task(1)] in machine.applied)
        market.faults.extend([fault] * 5)  # type: ignore[list-item]  # one of the literals
        machine.now_in("running")
        loop.report()
        market.await_phase(1, "running")
        market.await_that(lambda: not market.faults)
    numbers = [sync.seq for sync in market.syncs]
    assert len(numbers) - len(set(numbers)) <= 12


def test_numbers_rise_with_what_was_seen(market: Marketplace) -> None:
    machine = Machine()
    with syncing(market, machine, hold_seconds=1000) as loop:
        for generation in range(1, 30):
            machine.now_in("running", generation)
            loop.report()
        market.await_phase(1, "running", 29)
    by_number = sorted(market.syncs, key=lambda sync: sync.seq)
    generations = [sync.tasks[0].run_generation for sync in by_number if sync.tasks]
    assert generations == sorted(generations)


def test_server_that_comes_back_with_older_wishes_is_followed(market: Marketplace) -> None:
    machine = Machine()
    market.generation = 50
    with syncing(market, machine, hold_seconds=0.2):
        machine.await_that(lambda: machine.applied)
        with market.condition:
            market.generation = 3
            market.tasks = {1: task(1)}
            market.condition.notify_all()
        machine.await_that(lambda: [task(1)] in machine.applied)


def test_overtaken_reply_is_dropped() -> None:
    machine, url = Machine(), "http://127.0.0.1:9/x"
    session = session_of(machine, url)
    held, quick = session.request(20.0, None), session.request(0.0, None)
    session.apply(quick.seq, SyncReply(generation=8, tasks=[task(1)], sync_url=url))
    session.apply(held.seq, SyncReply(generation=7, tasks=[], sync_url=url))
    assert machine.applied == [[task(1)]]
    assert machine.sync_urls == []


def test_follows_the_server_to_another_address(market: Marketplace) -> None:
    machine = Machine()
    market.sync_path = SYNC_PATH + "?shard=2"
    with syncing(market, machine, hold_seconds=0.1):
        machine.await_that(lambda: machine.sync_urls)
    assert machine.sync_urls == [market.url + SYNC_PATH + "?shard=2"]


def test_finds_home_when_the_servers_own_address_is_dead(market: Marketplace) -> None:
    machine = Machine()
    market.credentials.add("secret")
    session = session_of(machine, "http://127.0.0.1:9/dead", market.url + SYNC_PATH)
    tries = [session.exchange(ServerClient(), 0.0) for _ in range(5)]
    assert tries == [False, False, False, True, True]
    assert machine.sync_urls == [market.url + SYNC_PATH]


def test_server_that_holds_nothing_is_not_asked_without_pause(market: Marketplace) -> None:
    machine = Machine()
    market.holds = False
    with syncing(market, machine, hold_seconds=1000) as loop:
        market.await_that(lambda: any(sync.hold_seconds for sync in market.syncs))
        machine.now_in("running")
        loop.report()
        market.await_phase(1, "running")
    assert sum(sync.hold_seconds > 0 for sync in market.syncs) == 1


@pytest.mark.parametrize(("status", "code"), [(401, "credential_revoked"), (426, "unsupported_protocol")])
def test_final_refusal_ends_the_loop_once(market: Marketplace, status: int, code: str) -> None:
    machine = Machine()
    market.refusal = (status, ErrorReply(error=code, msg="No."))
    with syncing(market, machine) as loop:
        machine.await_that(lambda: machine.refusals)
        loop.report()
    assert [refusal.error for refusal in machine.refusals] == [code]


def test_other_refusals_are_tried_again(market: Marketplace) -> None:
    machine = Machine()
    market.refusal = (400, ErrorReply(error="invalid_message", msg="What?"))
    market.credentials.add("secret")
    with syncing(market, machine):
        market.refusal = None
        machine.await_that(lambda: machine.applied)
    assert machine.refusals == []


def test_changed_inventory_is_told_until_it_arrived(market: Marketplace) -> None:
    machine = Machine()
    with syncing(market, machine, hold_seconds=0.05):
        machine.await_that(lambda: machine.applied)
        machine.inventory = inventory("2x RTX 3090")
        market.await_that(lambda: any(sync.inventory == machine.inventory for sync in market.syncs))


def test_server_that_is_not_there_is_away_not_refusing(market: Marketplace) -> None:
    machine = Machine()
    with syncing(market, machine, hold_seconds=0.05):
        machine.await_that(lambda: machine.applied)
    gone = market.url + SYNC_PATH
    market.__exit__()
    with pytest.raises(ServerAwayError, match="no connection"):
        ServerClient().sync(gone, "secret", market.syncs[0])


def test_backoff_doubles_with_jitter_up_to_its_limit() -> None:
    backoff = Backoff(first_seconds=1.0, most_seconds=5.0)
    waits = [backoff.next_seconds() for _ in range(6)]
    for wait, most in zip(waits, [1.0, 2.0, 4.0, 5.0, 5.0, 5.0], strict=True):
        assert most / 2 <= wait <= most
    backoff.reset()
    assert backoff.next_seconds() <= 1.0
