"""A market with one listed machine, a client with credit, and both with API keys. Time stands still at T0."""

import secrets
from collections.abc import Iterator

import pytest
import time_machine
from pytest_django.fixtures import Settings

from marketplace.models import User
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent


@pytest.fixture(autouse=True)
def clock(db: None, settings: Settings) -> Iterator[time_machine.Traveller]:  # noqa: ARG001 - the database is set up before time stops
    """The moment that the views see; move it with ``clock.shift(seconds)``."""
    settings.API_ANONYMOUS_REQUESTS_PER_MINUTE = 10**9  # all tests share one address and one minute
    settings.CACHES = {"default": settings.CACHES["default"] | {"KEY_PREFIX": secrets.token_hex(8)}}
    with time_machine.travel(T0, tick=False) as stopped:
        yield stopped


@pytest.fixture
def agent() -> TestAgent:
    return market.listed_machine()


@pytest.fixture
def client_user() -> User:
    return market.user("client@example.com", dollars=100)


@pytest.fixture
def api(client_user: User) -> Api:
    """The client's own calls."""
    return Api.of(client_user)


@pytest.fixture
def stranger() -> Api:
    """Another account with credit."""
    return Api.of(market.user(dollars=100))


@pytest.fixture
def host_api(agent: TestAgent) -> Api:
    """Calls of the machine's owner."""
    return Api.of(agent.machine.host)


@pytest.fixture
def anyone() -> Api:
    """Calls without a key."""
    return Api()
