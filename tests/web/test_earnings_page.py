"""A host's earnings."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from billing.services import settle_running
from hosting.web.earnings import week_start
from marketplace.models import Instance, User
from marketplace.services.lifecycle import instance_stop
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import field_errors, text

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def earned(agent: TestAgent, renter: User) -> Instance:
    """Four GPUs for an hour of Monday, and the disk."""
    instance = instance_rent(client=renter, offer_id=market.offer(agent, 4).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    instance_stop(instance_id=instance.pk, actor=renter, now=T0 + HOUR)
    agent.obey(T0 + HOUR)
    settle_running(now=T0 + HOUR)
    return instance


def later(web: Client, address: str = "/host/earnings/", **query: str) -> Any:
    """On Tuesday noon."""
    with time_machine.travel(T0 + 24 * HOUR, tick=False):
        return web.get(address, query)


@pytest.mark.usefixtures("earned")
def test_what_machines_earned(host_web: Client, agent: TestAgent) -> None:
    response = later(host_web)
    shown = text(response)
    disk_micros = 24 * 1_389 * 3 // 4
    assert f"Not paid out yet ${(1_500_000 + disk_micros) / 1e6:.2f}" in shown
    assert "This week so far $1.53 since Friday, 27 Feb, 00:00 UTC" in shown
    assert f"RTX 3090 rig-1, machine {agent.machine.pk} $1.5000 $0.0250 $0.0000 $1.5250" in shown
    assert "2 Mar 2026 $1.5000 $0.0010 $0.0000 $1.5010" in shown
    assert "3 Mar 2026 $0.0000 $0.0240 $0.0000 $0.0240" in shown
    assert response.context["chart"]["micros"][-2:] == [1_501_041, disk_micros - 1_041]


def test_earnings_as_a_file(host_web: Client, agent: TestAgent, earned: Instance) -> None:
    response = later(host_web, "/host/earnings.csv", first="2026-03-02", last="2026-03-02")
    lines = b"".join(response.streaming_content).decode().splitlines()
    assert response.headers["Content-Disposition"] == 'attachment; filename="earnings-2026-03-02-to-2026-03-02.csv"'
    whose = f"machine {agent.machine.pk},instance {earned.pk}"
    assert lines == [
        "day_utc,machine,instance,use,dollars",
        f"2026-03-02,{whose},gpu,1.50",
        f"2026-03-02,{whose},storage,0.001041",
    ]


@pytest.mark.usefixtures("earned")
def test_a_period_without_earnings(host_web: Client) -> None:
    shown = text(later(host_web, first="2026-01-01", last="2026-01-31"))
    assert "Nothing was earned in this period." in shown
    assert "In the period below $0.00 31 days" in shown


def test_senseless_periods_are_said_beside_their_field(host_web: Client) -> None:
    for address in ("/host/earnings/", "/host/earnings.csv"):
        response = later(host_web, address, first="2026-03-09", last="2026-03-01")
        assert (response.status_code, "before the first" in field_errors(response, "last")) == (422, True)


@pytest.mark.usefixtures("earned")
def test_hosts_see_only_their_own(web: Client, other_web: Client) -> None:
    for browser in (web, other_web):
        assert "Nothing was earned in this period." in text(later(browser))
        assert b"".join(later(browser, "/host/earnings.csv").streaming_content).count(b"\n") == 1
    assert later(Client()).status_code == 302


@pytest.mark.parametrize(
    ("now", "begins"),
    [
        (datetime(2026, 3, 6, tzinfo=UTC), datetime(2026, 3, 6, tzinfo=UTC)),
        (datetime(2026, 3, 5, 23, 59, 59, tzinfo=UTC), datetime(2026, 2, 27, tzinfo=UTC)),
        (datetime(2026, 3, 8, 12, tzinfo=UTC), datetime(2026, 3, 6, tzinfo=UTC)),
    ],
)
def test_weeks_begin_on_fridays(now: datetime, begins: datetime) -> None:
    assert week_start(now) == begins
