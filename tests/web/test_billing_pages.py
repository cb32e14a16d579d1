"""The billing page."""

from datetime import timedelta

import pytest
import time_machine
from django.test import Client

from marketplace.models import Instance, User
from marketplace.services.lifecycle import instance_stop
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def running(agent: TestAgent, renter: User) -> Instance:
    instance = instance_rent(client=renter, offer_id=market.offer(agent, 4).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    return instance


def test_an_account_without_use(web: Client) -> None:
    shown = text(web.get("/billing/"))
    for fact in (
        "Credit $100.00",
        "Spending now $0.00000 / hour nothing is running",
        "You have not used anything yet.",
    ):
        assert fact in shown, fact
    assert "+$100.0000" in shown


@pytest.mark.usefixtures("running")
def test_balance_rate_and_time_left_move_with_the_clock(web: Client) -> None:
    with time_machine.travel(T0 + timedelta(hours=10), tick=False):
        shown = text(web.get("/billing/summary/", headers=HTMX))
    assert "Credit $79.99" in shown
    assert "Spending now $2.002 / hour" in shown
    assert "Lasts for 1 d 15 h" in shown


def test_use_is_listed_by_instance_and_posted_movements_by_time(
    web: Client, agent: TestAgent, renter: User, running: Instance
) -> None:
    instance_stop(instance_id=running.pk, actor=renter, now=T0 + timedelta(hours=1))
    agent.obey(T0 + timedelta(hours=1))
    with time_machine.travel(T0 + timedelta(hours=1), tick=False):
        shown = text(web.get("/billing/"))
    assert f"instance {running.pk} $2.0000 $0.0014 $0.0000 $2.0014" in shown
    assert f"Instance {running.pk}, GPU -$2.0000" in shown


def test_older_movements_on_request(web: Client, renter: User) -> None:
    for _ in range(30):
        market.grant(renter, 1)
    first = web.get("/billing/")
    assert first.content.decode().count("Credit grant") == 25
    older = web.get("/billing/statement/", {"before": first.context["more_before"]}, headers=HTMX)
    assert older.content.decode().count("Credit grant") == 6
    assert "Show older" not in text(older)


@pytest.mark.parametrize("before", ["x", "-1", "9" * 40, ""])
def test_a_nonsense_position_shows_the_newest(web: Client, before: str) -> None:
    response = web.get("/billing/statement/", {"before": before}, headers=HTMX)
    assert response.status_code == 200
    assert "Credit grant" in text(response)


def test_nobody_sees_the_money_of_others(other_web: Client, running: Instance) -> None:
    shown = text(other_web.get("/billing/"))
    assert "You have not used anything yet." in shown
    assert f"instance {running.pk}" not in shown
