"""The billing page."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from billing.domain.money import parse_dollars
from billing.services import settle_running
from marketplace.models import Instance, User
from marketplace.services.lifecycle import instance_stop
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, field_errors, text

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
        "Spending now $0.00 / hour nothing is running",
        "You have not used anything in this period.",
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


@pytest.fixture
def used(agent: TestAgent, renter: User, running: Instance) -> Instance:
    """An hour of four GPUs and ten gigabytes."""
    instance_stop(instance_id=running.pk, actor=renter, now=T0 + timedelta(hours=1))
    agent.obey(T0 + timedelta(hours=1))
    return running


def test_use_is_listed_by_instance_and_day_and_posted_movements_by_time(web: Client, used: Instance) -> None:
    with time_machine.travel(T0 + timedelta(hours=1), tick=False):
        response = web.get("/billing/")
    shown = text(response)
    assert f"instance {used.pk} $2.0000 $0.0014 $0.0000 $2.0014" in shown
    assert "2 Mar 2026 $2.0000 $0.0014 $0.0000 $2.0014" in shown
    assert f"Instance {used.pk}, GPU -$2.0000" in shown
    chart = response.context["chart"]
    assert len(chart["days"]) == len(chart["micros"]) == 30
    assert (chart["days"][-1], chart["micros"][-1], sum(chart["micros"])) == (
        T0.replace(hour=0).timestamp(),
        2_001_389,
        2_001_389,
    )


@pytest.mark.usefixtures("used")
def test_a_period_is_chosen(web: Client) -> None:
    with time_machine.travel(T0 + timedelta(days=3), tick=False):
        settle_running(now=T0.replace(hour=0) + timedelta(days=1))
        on_the_day = web.get("/billing/", {"first": "2026-03-02", "last": "2026-03-02"})
        before = text(web.get("/billing/", {"first": "2026-02-01", "last": "2026-03-01"}))
        last_only = web.get("/billing/", {"last": "2026-03-31"})
    assert "2 Mar 2026 to 2 Mar 2026" in text(on_the_day)
    assert on_the_day.context["usage_total_micros"] == 2_000_000 + 12 * 1_389  # the disk until midnight
    assert "You have not used anything in this period." in before
    assert str(last_only.context["period"].first) == "2026-03-02"


@pytest.mark.parametrize(
    ("asked", "field", "said"),
    [
        ({"first": "2026-03-02", "last": "2026-03-01"}, "last", "before the first"),
        ({"first": "2026-13-01"}, "first", "valid date"),
        ({"last": "2026-02-30"}, "last", "valid date"),
        ({"first": "yesterday"}, "first", "valid date"),
        ({"first": "2020-01-01", "last": "2026-01-01"}, "first", "at most 366 days"),
        ({"first": "0001-01-01"}, "first", "The year must be"),
        ({"last": "9999-12-31"}, "last", "The year must be"),
        ({"first": "2026-03-02\0"}, "first", "valid date"),
    ],
)
def test_senseless_periods_are_said_beside_their_field(
    web: Client, asked: dict[str, str], field: str, said: str
) -> None:
    for address in ("/billing/", "/billing/charges.csv"):
        response = web.get(address, asked)
        assert response.status_code == 422
        assert said in field_errors(response, field)
        assert "Movements" in text(response)


def rows(response: Any) -> list[str]:
    """The lines of a file that is sent as it is made."""
    return b"".join(response.streaming_content).decode().splitlines()


def test_charges_as_a_file_are_exact(web: Client, used: Instance) -> None:
    settle_running(now=T0 + timedelta(hours=1))
    with time_machine.travel(T0 + timedelta(days=1, minutes=7), tick=False):
        response = web.get("/billing/charges.csv", {"first": "2026-03-01", "last": "2026-03-03"})
        lines = rows(response)
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'attachment; filename="charges-2026-03-01-to-2026-03-03.csv"'
    name = f"instance {used.pk}"
    assert lines == [
        "day_utc,instance,use,meter,dollars",
        f"2026-03-02,{name},gpu,instance:{used.pk}:gpu,2.00",
        f"2026-03-02,{name},storage,instance:{used.pk}:storage,0.001389",
        f"2026-03-03,{name},storage,instance:{used.pk}:storage,0.032109",
    ]
    with time_machine.travel(T0 + timedelta(days=1, minutes=7), tick=False):
        balance = text(web.get("/billing/balance/", headers=HTMX))
    assert balance == "$97.97"
    assert sum(parse_dollars(line.rpartition(",")[2]) for line in lines[1:]) == 2_000_000 + 33_498


@pytest.mark.django_db(transaction=True)
def test_a_file_is_read_outside_of_transactions_too(web: Client, used: Instance) -> None:
    lines = rows(web.get("/billing/charges.csv"))
    assert lines[1].startswith(f"2026-03-02,instance {used.pk},gpu")


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
    assert "You have not used anything in this period." in shown
    assert f"instance {running.pk}" not in shown
