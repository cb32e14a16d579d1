"""What becomes of a client's instances when its credit is used up and not renewed."""

from datetime import datetime, timedelta

import pytest
import time_machine
from django.test import Client

from billing.selectors import balance_micros, disks_end_at, ledger_check, meter_total_micros, zero_at
from marketplace.models import Instance, Notice, User
from marketplace.services.credit import stop_exhausted
from marketplace.services.rent import instance_rent
from marketplace.services.unpaid import delete_unpaid
from tests.plumbing import market
from tests.plumbing.market import DOLLAR, T0, TestAgent

pytestmark = pytest.mark.django_db

HOUR, DAY, MICROSECOND = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)


@pytest.fixture
def agent() -> TestAgent:
    return market.listed_machine(storage_micros_per_gb_month=730_000)


@pytest.fixture
def client() -> User:
    return market.user(dollars=3)


def rent(agent: TestAgent, client: User, gpus: int = 1, disk_gb: int = 10) -> Instance:
    return instance_rent(
        client=client, offer_id=market.offer(agent, gpus).pk, request=market.wish(disk_gb=disk_gb), now=T0
    )


@pytest.fixture
def stopped(agent: TestAgent, client: User) -> tuple[Instance, datetime]:
    """Two GPUs at a dollar an hour and a disk at a cent; stopped when three dollars were used up, which is returned."""
    instance = rent(agent, client, gpus=2)
    agent.obey(T0)
    zero = zero_at(client)
    assert zero is not None
    assert stop_exhausted(now=zero) == 1
    agent.obey(zero)
    return instance, zero


def kinds(client: User) -> list[str]:
    return list(Notice.objects.filter(client=client).order_by("pk").values_list("kind", flat=True))


def test_stopping_tells_the_client_once(agent: TestAgent, client: User) -> None:
    both = [rent(agent, client), rent(agent, client)]
    agent.obey(T0)
    zero = zero_at(client)
    assert zero is not None
    assert stop_exhausted(now=zero + HOUR) == 2
    assert kinds(client) == ["credit_used_up"]
    assert balance_micros(client, zero) in (0, -1)
    assert {Instance.objects.get(pk=one.pk).state for one in both} == {"stopping"}


def test_disks_are_deleted_when_the_grace_is_over_and_charged_until_then(
    client: User, stopped: tuple[Instance, datetime]
) -> None:
    instance, zero = stopped
    end = zero + 3 * DAY
    assert disks_end_at(client, zero) == end
    assert delete_unpaid(now=end - MICROSECOND) == 0
    assert delete_unpaid(now=end + 9 * DAY) == 1
    instance.refresh_from_db()
    assert instance.state == "destroying"
    disk = meter_total_micros(f"instance:{instance.pk}:storage", end + 9 * DAY)
    assert disk == instance.storage_micros_per_hour * ((end - T0) // MICROSECOND) // 3_600_000_000
    assert balance_micros(client, end + 9 * DAY) == balance_micros(client, end) < -700_000
    assert delete_unpaid(now=end + 9 * DAY) == 0
    assert kinds(client) == ["credit_used_up", "disks_deleted"]
    notice = Notice.objects.get(client=client, kind="disks_deleted")
    assert f"deleted: {instance.pk}." in notice.text
    event = instance.events.order_by("-pk").first()
    assert event is not None
    assert event.reason == "unpaid"
    assert ledger_check(end + 9 * DAY) == []


def test_everything_goes_at_the_instant_the_debt_reached_its_limit(agent: TestAgent) -> None:
    client = market.user(dollars=2)
    both = [rent(agent, client, disk_gb=200), rent(agent, client, disk_gb=200)]
    agent.obey(T0)
    zero = zero_at(client)
    assert zero is not None
    stop_exhausted(now=zero + 20 * HOUR)
    end = disks_end_at(client, zero + 20 * HOUR)
    assert end is not None
    per_hour = sum(one.storage_micros_per_hour for one in both)
    assert abs(end - zero - HOUR * 5 * DOLLAR / per_hour) < timedelta(seconds=1)
    assert end < zero + 13 * HOUR
    assert delete_unpaid(now=zero + 20 * HOUR) == 2
    assert balance_micros(client, zero + 20 * HOUR) == -5 * DOLLAR
    notice = Notice.objects.get(client=client, kind="disks_deleted")
    assert f"{both[0].pk}, {both[1].pk}." in notice.text


def test_what_runs_is_stopped_where_the_credit_ended_before_it_is_deleted(agent: TestAgent, client: User) -> None:
    """Even if no other sweep came for a week."""
    instance = rent(agent, client, gpus=2)
    agent.obey(T0)
    zero = zero_at(client)
    assert zero is not None
    assert delete_unpaid(now=zero + 7 * DAY) == 1
    gpu = meter_total_micros(f"instance:{instance.pk}:gpu", zero + 7 * DAY)
    assert gpu == DOLLAR * ((zero - T0) // MICROSECOND) // 3_600_000_000
    assert kinds(client) == ["credit_used_up", "disks_deleted"]


def test_paying_in_time_saves_the_disks(client: User, stopped: tuple[Instance, datetime]) -> None:
    instance, zero = stopped
    market.grant(client, 5, now=zero + 2 * DAY)
    assert delete_unpaid(now=zero + 3 * DAY) == 0
    instance.refresh_from_db()
    assert instance.state == "stopped"


def test_paying_late_saves_what_is_not_deleted_yet(client: User, stopped: tuple[Instance, datetime]) -> None:
    _, zero = stopped
    market.grant(client, 5, now=zero + 5 * DAY)
    assert delete_unpaid(now=zero + 5 * DAY) == 0


def test_others_keep_theirs(agent: TestAgent, stopped: tuple[Instance, datetime]) -> None:
    _, zero = stopped
    rich = market.user(dollars=100)
    other = rent(agent, rich)
    assert delete_unpaid(now=zero + 3 * DAY) == 1
    other.refresh_from_db()
    assert other.state == "loading"


def test_pages_say_when_the_disks_go(client: User, stopped: tuple[Instance, datetime]) -> None:
    instance, zero = stopped
    browser = Client()
    browser.force_login(client, backend="django.contrib.auth.backends.ModelBackend")
    said = (zero + 3 * DAY).strftime("%H:%M UTC unless")
    pages = ("/instances/", f"/instances/{instance.pk}/", "/billing/")
    with time_machine.travel(zero + HOUR, tick=False):
        for page in pages:
            assert said in browser.get(page).content.decode(), page
    market.grant(client, 5, now=zero + HOUR)
    with time_machine.travel(zero + HOUR, tick=False):
        for page in pages:
            assert "deleted on" not in browser.get(page).content.decode(), page
