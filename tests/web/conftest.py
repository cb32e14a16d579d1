"""Pages through Django's test client, at a fixed moment."""

from collections.abc import Iterator

import pytest
import time_machine
from django.test import Client

from marketplace.models import User
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    with time_machine.travel(T0, tick=False):
        yield


@pytest.fixture
def renter() -> User:
    """An account with $100 of credit."""
    return market.user("renter@example.com", dollars=100)


@pytest.fixture
def stranger() -> User:
    """Another account with credit."""
    return market.user("stranger@example.com", dollars=100)


@pytest.fixture
def agent() -> TestAgent:
    """A listed machine with four RTX 3090 at $0.50 each."""
    return market.listed_machine(market.user("host@example.com"))


@pytest.fixture
def web(client: Client, renter: User) -> Client:
    """A browser of the renter."""
    client.force_login(renter)
    return client


@pytest.fixture
def other_web(stranger: User) -> Client:
    """A browser of the stranger."""
    browser = Client()
    browser.force_login(stranger)
    return browser


@pytest.fixture
def host_web(agent: TestAgent) -> Client:
    """A browser of the machine's host."""
    browser = Client()
    browser.force_login(agent.machine.host)
    return browser


@pytest.fixture
def boss() -> User:
    """A superuser."""
    return User.objects.create_superuser("boss@example.com", "a-long-enough-phrase")


@pytest.fixture
def staff(client: Client, boss: User) -> Client:
    """The superuser's browser."""
    client.force_login(boss)
    return client
