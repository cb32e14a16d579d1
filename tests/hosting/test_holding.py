"""A request that is held: what ends it, and that one machine takes no more of a process than its part."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.db.models import F
from pytest_django.fixtures import Settings

from hosting.api import agent
from hosting.api.turns import AT_ONCE, Turns
from hosting.errors import HostingError
from hosting.gateways.wakeup import Listener, wake
from hosting.models import Machine
from tests.plumbing.market import register, user

pytestmark = pytest.mark.django_db(transaction=True)

LONG_SECONDS = 600.0
"""Longer than any test may take: what ends is ended by something else."""
PATIENCE_SECONDS = 60.0


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads whose connections to the database are closed at the end."""
    both = threading.Barrier(2)

    def close() -> None:
        both.wait(PATIENCE_SECONDS)
        connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        monkeypatch.setattr(agent, "_handlers", pool)
        yield
        for done in [pool.submit(close), pool.submit(close)]:
            done.result()


@pytest.fixture
def machine() -> Machine:
    return register(user())


def holding(machine: Machine) -> Listener | None:
    return agent._turns._holding.get(machine.pk)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not true():
            await asyncio.sleep(0)


async def news(machine: Machine) -> None:
    found = Machine.objects.filter(pk=machine.pk)
    await agent.in_pool(lambda: found.update(desired_generation=F("desired_generation") + 1))


def held(machine: Machine) -> Awaitable[None]:
    return asyncio.ensure_future(agent._hold(machine.pk, machine.desired_generation, LONG_SECONDS))


def test_it_is_answered_as_soon_as_there_is_news(machine: Machine) -> None:
    async def story() -> None:
        request = held(machine)
        await until(lambda: holding(machine) is not None)
        await news(machine)
        wake(machine.pk)
        await asyncio.wait_for(request, PATIENCE_SECONDS)
        assert holding(machine) is None

    asyncio.run(story())


def test_news_from_before_it_listened_are_not_missed(machine: Machine) -> None:
    async def story() -> None:
        await news(machine)  # nobody hears this
        await asyncio.wait_for(held(machine), PATIENCE_SECONDS)

    asyncio.run(story())


def test_a_wake_up_without_news_does_not_end_it(machine: Machine) -> None:
    async def story() -> None:
        request = asyncio.ensure_future(held(machine))
        await until(lambda: holding(machine) is not None)
        wake(machine.pk)
        done, _ = await asyncio.wait([request], timeout=0.2)
        assert not done
        request.cancel()

    asyncio.run(story())


def test_the_newest_of_a_machine_ends_the_one_before(machine: Machine) -> None:
    other = register(user())

    async def story() -> None:
        bystander, first = held(other), held(machine)
        await until(lambda: holding(machine) is not None and holding(other) is not None)
        known = holding(machine)
        second = asyncio.ensure_future(held(machine))
        await asyncio.wait_for(first, PATIENCE_SECONDS)
        assert holding(machine) is not known
        assert not second.done()
        second.cancel()
        assert holding(other) is not None
        asyncio.ensure_future(bystander).cancel()

    asyncio.run(story())


def test_who_goes_away_leaves_nothing(machine: Machine) -> None:
    async def story() -> None:
        request = asyncio.ensure_future(held(machine))
        await until(lambda: holding(machine) is not None)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert holding(machine) is None

    asyncio.run(story())


def test_without_redis_it_looks_by_itself(machine: Machine, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    async def story() -> None:
        request = held(machine)
        await until(lambda: holding(machine) is not None)
        await news(machine)
        await asyncio.wait_for(request, PATIENCE_SECONDS)

    asyncio.run(story())


def test_one_credential_has_so_many_reports_at_a_time_and_others_have_theirs() -> None:
    turns = Turns()
    with turns.working("mine"), turns.working("mine"):
        with pytest.raises(HostingError) as refused, turns.working("mine"):
            pass
        assert (refused.value.code, refused.value.status) == ("too_many_reports", 429)
        with turns.working("theirs"):
            pass
    for _ in range(AT_ONCE + 1):
        with turns.working("mine"):
            pass
    assert not turns._working
