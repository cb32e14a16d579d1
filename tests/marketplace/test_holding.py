"""Held requests: what wakes them, what ends them, and what they cost."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connections
from pytest_django.fixtures import Settings

from hosting import selectors
from hosting.api import agent
from hosting.api.lanes import Lane
from hosting.errors import HostingError
from hosting.gateways import presence, wakeup
from hosting.gateways.wakeup import Listener, ear, wake
from hosting.services.reports import report_receive
from marketplace.held import MIDDLEWARE
from tests.marketplace.holding import Call, Known, Waits, aside, known_machine, patiently, report, sync
from tests.plumbing.environment import start_valkey

pytestmark = pytest.mark.django_db(transaction=True)
NOWHERE = "redis://127.0.0.1:9/0"


@pytest.fixture(autouse=True)
def _holds(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MIDDLEWARE, settings.SYNC_HOLD_MAX_SECONDS = MIDDLEWARE, 60.0
    # The pool's threads outlive the test; their connections must not outlive its database.
    monkeypatch.setitem(connections.databases["default"], "CONN_MAX_AGE", 0)
    monkeypatch.setattr(wakeup, "RECHECK_WHEN_DEAF_SECONDS", 0.01)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    told = Waits()
    monkeypatch.setattr(agent, "Listener", told.listener())
    return told


@pytest.fixture
def own_redis(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator["redis.Redis"]:
    """One that no other test uses: its connections may be counted and cut."""
    server, process = start_valkey(tmp_path)
    settings.REDIS_URL = server.url()
    with redis.Redis.from_url(server.url()) as client:
        monkeypatch.setattr(presence, "client", lambda: client)
        monkeypatch.setattr(wakeup, "client", lambda: client)
        yield client
    process.stop()


def story(told: Coroutine[Any, Any, None]) -> None:
    """Tell it on an event loop of its own, and let it end."""
    asyncio.run(asyncio.wait_for(told, 60))


def generation_in(call: Call) -> int:
    assert call.status == 200, call.answer
    return int(call.said()["generation"])


def test_it_is_answered_as_soon_as_a_wake_up_comes(waits: Waits) -> None:
    machine = known_machine()
    known = machine.generation()

    async def told() -> None:
        held = sync(machine, known)
        assert await waits.begun() == machine.machine_id
        await aside(machine.change)
        assert generation_in(await patiently(held)) == known + 1

    story(told())


def test_a_wake_up_without_news_is_no_answer(waits: Waits) -> None:
    machine = known_machine()
    known = machine.generation()

    async def told() -> None:
        held = sync(machine, known)
        await waits.begun()
        wake(machine.machine_id)
        await waits.begun()
        assert not held.done()
        await aside(machine.change)
        assert generation_in(await patiently(held)) == known + 1

    story(told())


def test_whoever_listens_is_heard_from_the_first_moment(own_redis: "redis.Redis") -> None:
    async def told() -> None:
        async with Listener(7) as listener:
            assert ear().hears
            assert own_redis.pubsub_numpat() == 1, "Redis has confirmed it"
            wake(7)
            await patiently(listener.wait(1000))

    story(told())


def test_what_changes_while_the_state_is_read_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = known_machine()
    known = machine.generation()
    reads: list[int] = []

    def read_before_it_changed(machine_id: int) -> int:
        before = selectors.desired_generation(machine_id)
        reads.append(before)
        if len(reads) == 1:
            machine.change()
        return before

    monkeypatch.setattr(agent, "desired_generation", read_before_it_changed)

    async def told() -> None:
        assert generation_in(await patiently(sync(machine, known))) == known + 1

    story(told())
    assert reads == [known, known + 1]


def test_without_redis_it_looks_itself(waits: Waits, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = known_machine()
    known = machine.generation()
    settings.REDIS_URL = NOWHERE
    with redis.Redis.from_url(NOWHERE) as client:
        monkeypatch.setattr(presence, "client", lambda: client)
        monkeypatch.setattr(wakeup, "client", lambda: client)

        async def told() -> None:
            held = sync(machine, known)
            await waits.begun()
            assert not ear().hears
            await aside(machine.change)
            assert generation_in(await patiently(held)) == known + 1

        story(told())


def test_a_connection_that_broke_is_made_again(own_redis: "redis.Redis", waits: Waits) -> None:
    machine = known_machine()
    known = machine.generation()

    async def told() -> None:
        held = sync(machine, known)
        await waits.begun()
        assert own_redis.client_kill_filter(_type="pubsub") == 1
        while not (await waits.begun() and ear().hears and own_redis.pubsub_numpat() == 1):
            pass
        await aside(machine.change)
        assert generation_in(await patiently(held)) == known + 1

    story(told())


def test_a_redis_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(wakeup, "CONNECT_SECONDS", 0.01)

    async def told() -> None:
        silent = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}/0"
        async with Listener(7) as listener:
            assert not ear().hears
            await patiently(listener.wait(1000))
        silent.close()

    story(told())


def test_all_held_requests_hear_over_one_connection(own_redis: "redis.Redis", waits: Waits) -> None:
    machines = [known_machine() for _ in range(5)]

    async def told() -> None:
        held = [sync(machine, machine_known) for machine, machine_known in zip(machines, known, strict=True)]
        assert {await waits.begun() for _ in machines} == {machine.machine_id for machine in machines}
        assert len(own_redis.client_list(_type="pubsub")) == 1
        await aside(machines[2].change)
        assert generation_in(await patiently(held[2])) == known[2] + 1
        assert [request.done() for request in held] == [False, False, True, False, False]
        assert waits.none(), "nobody else was woken"
        for machine in machines:
            await aside(machine.change)
        await patiently(asyncio.gather(*held))

    known = [machine.generation() for machine in machines]
    story(told())


def test_the_newest_request_of_a_machine_ends_the_older_ones(waits: Waits) -> None:
    machine = known_machine()
    known = machine.generation()

    async def told() -> None:
        older = sync(machine, known)
        await waits.begun()
        newer = sync(machine, known, seq=2)
        assert generation_in(await patiently(older)) == known
        await waits.begun()
        await aside(machine.change)
        assert generation_in(await patiently(newer)) == known + 1
        assert ear().newest == {}

    story(told())


def test_who_hangs_up_leaves_nothing_behind(waits: Waits) -> None:
    machine = known_machine()
    known = machine.generation()
    call = Call("/api/agent/v1/sync", report(known), machine.credential)

    async def told() -> None:
        held = asyncio.create_task(call.run())
        await waits.begun()
        assert list(ear().newest) == [machine.machine_id]
        call.hang_up()
        await patiently(held)
        assert ear().newest == {}

    story(told())
    assert call.status == 0
    assert [lane.callers for lane in (agent.REPORTS, agent.REPLIES)] == [0, 0]


class SlowReports:
    """Reports that wait, as for a lock, until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, machine: Known) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()

        def slow(*, machine_id: int, **values: Any) -> None:
            if machine_id == machine.machine_id:
                self.begun.release()
                assert self.go.wait(60)
            report_receive(machine_id=machine_id, **values)

        monkeypatch.setattr(agent, "report_receive", slow)


def test_one_machine_can_not_take_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, other = known_machine(), known_machine()
    known, known_to_other = machine.generation(), other.generation()
    slow = SlowReports(monkeypatch, machine)

    async def told() -> None:
        first = [sync(machine, known, hold_seconds=0.0, seq=seq) for seq in (1, 2)]
        for _ in first:
            assert await asyncio.to_thread(slow.begun.acquire, timeout=60)
        refused = await patiently(sync(machine, known, hold_seconds=0.0, seq=3))
        assert (refused.status, refused.said()["error"]) == (429, "too_many_requests")
        assert refused.said()["msg"] == "No more than 2 such requests at a time; try again later."
        assert generation_in(await patiently(sync(other, known_to_other, hold_seconds=0.0))) == known_to_other
        slow.go.set()
        assert [generation_in(await patiently(call)) for call in first] == [known, known]
        assert generation_in(await patiently(sync(machine, known, hold_seconds=0.0, seq=4))) == known

    story(told())


def test_hanging_up_frees_no_place_before_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = known_machine()
    known = machine.generation()
    slow = SlowReports(monkeypatch, machine)

    async def told() -> None:
        calls = [Call("/api/agent/v1/sync", report(known, seq=seq), machine.credential) for seq in (1, 2)]
        first = [asyncio.create_task(call.run()) for call in calls]
        for call in calls:
            assert await asyncio.to_thread(slow.begun.acquire, timeout=60)
            call.hang_up()
        assert (await patiently(sync(machine, known, seq=3))).status == 429
        slow.go.set()
        await patiently(asyncio.gather(*first))
        assert agent.REPORTS.callers == 0

    story(told())


def test_in_a_lane_with_room_callers_wait_for_their_turn() -> None:
    lane, begun, go = Lane(abreast=1, waiting=1), threading.Semaphore(0), threading.Event()

    def slow() -> bool:
        begun.release()
        return go.wait(60)

    async def told() -> None:
        first = asyncio.create_task(lane.run("one", slow))
        assert await asyncio.to_thread(begun.acquire, timeout=60)
        second = asyncio.create_task(lane.run("one", go.is_set))
        await asyncio.sleep(0)
        with pytest.raises(HostingError, match="No more than 2"):
            await lane.run("one", go.is_set)
        assert not await patiently(lane.run("another", go.is_set)), "nobody else has to wait"
        go.set()
        assert all(await patiently(asyncio.gather(first, second)))
        assert lane.callers == 0

    story(told())
