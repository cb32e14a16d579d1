"""No client spends more an hour than its history speaks for: at renting, starting and raising a bid."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from billing.models import AccountTerms
from marketplace.errors import MarketError
from marketplace.models import Instance, User
from marketplace.services.bids import bid_change
from marketplace.services.clearing import dirty_clear
from marketplace.services.lifecycle import instance_start, instance_stop
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import DOLLAR, T0, TestAgent

pytestmark = pytest.mark.django_db

CENT = 10_000


def after(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


@pytest.fixture
def agent() -> TestAgent:
    """Four GPUs at half a dollar each; disks are free."""
    return market.listed_machine(storage_micros_per_gb_month=0)


@pytest.fixture
def client() -> User:
    """With much credit, and a limit of a dollar an hour."""
    user = market.user(dollars=100)
    AccountTerms.objects.create(owner=user, spend_limit_micros_per_hour=DOLLAR)
    return user


def rent(agent: TestAgent, client: User, gpus: int = 1, **values: Any) -> Instance:
    return instance_rent(client=client, offer_id=market.offer(agent, gpus).pk, request=market.wish(**values), now=T0)


def refused(error: pytest.ExceptionInfo[MarketError]) -> tuple[str, int]:
    return error.value.code, error.value.status


def test_all_that_is_rented_counts_together(agent: TestAgent, client: User) -> None:
    rent(agent, client)
    rent(agent, client)
    with pytest.raises(MarketError) as error:
        rent(agent, client)
    assert refused(error) == ("spend_limit", 403)
    assert "may spend $1.00 an hour, and with this it would spend $1.50" in error.value.message
    assert Instance.objects.count() == 2


def test_starting_counts_what_runs(agent: TestAgent, client: User) -> None:
    first = rent(agent, client)
    agent.obey(after(0))
    instance_stop(instance_id=first.pk, actor=client, now=after(1))
    agent.obey(after(1))
    rent(agent, client, gpus=2)
    with pytest.raises(MarketError) as error:
        instance_start(instance_id=first.pk, actor=client, now=after(2))
    assert refused(error) == ("spend_limit", 403)
    first.refresh_from_db()
    assert first.state == "stopped"


def bids(agent: TestAgent, client: User, micros: int, gpus: int = 1) -> Instance:
    return rent(agent, client, gpus, bid_micros_per_hour=micros)


def raise_to(instance: Instance, micros: int) -> int:
    """The bid that the auction has taken in."""
    bid_change(instance_id=instance.pk, client=instance.client, price_micros=micros, now=after(5))
    dirty_clear(now=lambda: after(5))
    instance.refresh_from_db()
    return instance.bid_micros_per_hour or 0


def test_a_bid_is_raised_up_to_the_limit(agent: TestAgent, client: User) -> None:
    bids(agent, client, 40 * CENT)
    second = bids(agent, client, 40 * CENT, gpus=2)
    agent.obey(after(1))
    assert raise_to(second, 60 * CENT) == 60 * CENT
    with pytest.raises(MarketError) as error:
        raise_to(second, 60 * CENT + 1)
    assert refused(error) == ("spend_limit", 403)
    second.refresh_from_db()
    assert second.bid_micros_per_hour == 60 * CENT
    assert second.events.filter(kind="bid").count() == 1
    AccountTerms.objects.update(spend_limit_micros_per_hour=10 * CENT)
    assert raise_to(second, 50 * CENT) == 50 * CENT  # lowering is always allowed
    instance_stop(instance_id=second.pk, actor=client, now=after(6))
    assert raise_to(second, 90 * CENT) == 90 * CENT  # it costs nothing until it is started


def test_a_history_lifts_the_limit_of_bids(agent: TestAgent) -> None:
    """More than everybody's limit is looked up, and granted."""
    rich = market.user(dollars=100)
    rent(agent, rich, gpus=2)
    second = bids(agent, rich, 20 * CENT, gpus=2)
    rent(market.listed_machine(gpus=4), rich, gpus=2)
    assert raise_to(second, 90 * CENT) == 90 * CENT


def test_a_wrong_price_is_still_told_as_such(agent: TestAgent, client: User) -> None:
    instance = bids(agent, client, 40 * CENT)
    with pytest.raises(MarketError) as error:
        raise_to(instance, 2 * DOLLAR)
    assert error.value.code == "invalid_price"


def test_pages_tell_the_limit(client: User) -> None:
    browser = Client()
    browser.force_login(client, backend="django.contrib.auth.backends.ModelBackend")
    assert "at most $1.00 an hour" in browser.get("/billing/").content.decode()
    assert "may spend $2.00 an hour at first" in browser.get("/help/").content.decode()
