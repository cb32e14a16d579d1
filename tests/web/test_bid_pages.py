"""Interruptible instances in the browser: their cards, their page, and the dialog that changes a bid."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.test import Client

from hosting.services.lifetimes import lifetimes_extend
from hosting.services.offline import machine_mark_offline
from marketplace.models import Instance, User
from marketplace.services.clearing import dirty_clear
from marketplace.services.expiry import stop_expired
from marketplace.services.lifecycle import instance_stop
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, field_errors, text

pytestmark = pytest.mark.django_db

CENT = 10_000


@pytest.fixture
def agent() -> TestAgent:
    """Two RTX 3090 at $0.50 each, no bid below ten cents."""
    return market.listed_machine(market.user("host@example.com"), gpus=2, min_bid_micros_per_gpu_hour=10 * CENT)


def rent(agent: TestAgent, client: User, micros: int | None, gpus: int = 2, **values: object) -> Instance:
    wish = market.wish(bid_micros_per_hour=micros, **values)
    found = instance_rent(client=client, offer_id=market.offer(agent, gpus).pk, request=wish, now=T0)
    agent.obey(T0)
    agent.obey(T0)
    found.refresh_from_db()
    return found


@pytest.fixture
def mine(agent: TestAgent, renter: User) -> Instance:
    """Runs on both GPUs at 30 cents."""
    return rent(agent, renter, 30 * CENT)


def rival(agent: TestAgent, micros: int | None, gpus: int = 2) -> Instance:
    return rent(agent, market.user(dollars=50), micros, gpus)


def state(instance: Instance) -> str:
    instance.refresh_from_db()
    return instance.state


def bid_path(instance: Instance) -> str:
    return f"/instances/{instance.pk}/bid/"


def test_a_card_shows_type_bid_and_what_others_must_bid(web: Client, mine: Instance) -> None:
    page = web.get("/instances/")
    shown = text(page)
    for fact in (
        "Running Interruptible Simulated GPUs",
        "Bid $0.30/h $0.15 per GPU",
        "Others must bid $0.315001/h to run on 2 GPUs of this machine now.",
        "Lifetime left 90 d 00:00:00",
    ):
        assert fact in shown, fact
    assert f'data-countdown="{mine.end_at.timestamp():.3f}"' in page.content.decode()


def test_a_card_on_demand_has_no_bid(web: Client, agent: TestAgent, renter: User) -> None:
    rent(agent, renter, None)
    shown = text(web.get("/instances/"))
    assert "Running On demand" in shown
    assert "Bid" not in shown
    assert "Change bid" not in shown


def test_an_outbid_card_says_why_and_what_would_run_it(web: Client, agent: TestAgent, mine: Instance) -> None:
    rival(agent, 40 * CENT)
    page = web.get("/instances/")
    shown = text(page)
    assert "Outbid Interruptible" in shown
    assert 'title="It wants to run, but others bid more or rent on demand.' in page.content.decode()
    assert "Outbid by a higher bid of $0.20 per GPU and hour." in shown
    assert "A bid of $0.420001/h would run it now." in shown
    assert state(mine) == "outbid"


@pytest.mark.usefixtures("mine")
def test_against_on_demand_rentals_no_bid_helps(web: Client, agent: TestAgent) -> None:
    rival(agent, None)
    shown = text(web.get("/instances/"))
    assert "An on-demand rental took the GPUs." in shown
    assert "No bid would run it now: on-demand rentals use the GPUs." in shown


@pytest.mark.usefixtures("mine")
def test_against_bids_at_the_on_demand_price_no_bid_helps(web: Client, agent: TestAgent) -> None:
    rival(agent, 100 * CENT)
    assert "No bid would run it now: others bid as much as renting on demand costs." in text(web.get("/instances/"))


def test_the_bid_that_is_named_runs_it_where_the_offers_minimum_would_not(web: Client, renter: User) -> None:
    """What a newcomer needs may be less: it can share the machine with this very bid."""
    agent = market.listed_machine(gpus=4)
    small = rent(agent, renter, 40 * CENT, gpus=2)
    rival(agent, 90 * CENT, gpus=4)
    assert market.offer(agent, 2).min_bid_micros_per_hour == 545_001
    assert "A bid of $0.945001/h would run it now." in text(web.get("/instances/"))
    for price, then in (("0.6", "outbid"), ("0.945001", "scheduling")):
        web.post(bid_path(small), {"price": price})
        dirty_clear(now=lambda: T0)
        assert state(small) == then


def test_a_stopped_bid_says_whether_it_would_win(web: Client, agent: TestAgent, mine: Instance) -> None:
    instance_stop(instance_id=mine.pk, actor=mine.client, now=T0)
    agent.obey(T0)
    assert "Started now" not in text(web.get("/instances/"))
    rival(agent, 40 * CENT)
    shown = text(web.get("/instances/"))
    assert "Started now, it would wait. A bid of $0.420001/h would run it now." in shown
    assert "Change bid" in shown


@pytest.mark.usefixtures("mine")
def test_of_a_machine_out_of_reach_nothing_is_claimed(web: Client, agent: TestAgent) -> None:
    machine_mark_offline(machine_id=agent.machine.pk, last_seen_at=T0, now=T0 + timedelta(minutes=2))
    shown = text(web.get("/instances/"))
    assert "Others must bid" not in shown
    assert "would run it" not in shown


def test_what_waits_on_demand_says_for_what(web: Client, agent: TestAgent, renter: User) -> None:
    waiting = rent(agent, renter, None)
    instance_stop(instance_id=waiting.pk, actor=renter, now=T0)
    agent.obey(T0)
    rival(agent, None)
    assert web.post(f"/instances/{waiting.pk}/start/").status_code == 302
    shown = text(web.get(f"/instances/{waiting.pk}/"))
    assert "Scheduling On demand" in shown
    assert (
        "Waiting for 2 of the machine's 2 GPUs: on-demand rentals use 2. It starts as soon as they are free." in shown
    )


def test_the_page_tells_the_bid_and_its_history_in_words(web: Client, agent: TestAgent, mine: Instance) -> None:
    assert web.post(bid_path(mine), {"price": "0.25"}, headers=HTMX).status_code == 204
    dirty_clear(now=lambda: T0)
    rival(agent, 40 * CENT)
    shown = text(web.get(f"/instances/{mine.pk}/"))
    facts = (
        "GPU price $0.25 per hour while it runs: what you bid",
        "Your bid $0.25 per hour, $0.125 per GPU A bid of $0.420001/h would run it now.",
        "UTC, interruptible",
        "Bid changed by you Bid changed to $0.25 per hour.",
        "Outbid Outbid by a higher bid of $0.20 per GPU and hour.",
        "Rented by you",
    )
    assert [fact for fact in facts if fact not in shown] == []


def test_an_interruption_on_demand_is_a_line_of_its_own(web: Client, agent: TestAgent, mine: Instance) -> None:
    rival(agent, None)
    shown = text(web.get(f"/instances/{mine.pk}/"))
    assert "Interrupted by an on-demand rental An on-demand rental took the GPUs." in shown


def test_after_the_lifetime_the_end_of_the_disk_counts_down(web: Client, agent: TestAgent, mine: Instance) -> None:
    assert "Then it is stopped, and its disk is kept for 48 hours." in text(web.get(f"/instances/{mine.pk}/"))
    later = mine.end_at + timedelta(hours=1)
    with time_machine.travel(later, tick=False):
        stop_expired(now=later)
        web.force_login(mine.client)  # the session ended long ago
        card = text(web.get("/instances/"))
        assert "Disk deleted in 1 d 23:00:00" in card
        assert "The disk is deleted on 2 Jun 2026 12:00 UTC, unless the host extends" in card
        assert "Change bid" not in card
        shown = text(web.get(f"/instances/{mine.pk}/"))
        assert "Over since 31 May 2026 12:00 UTC. Disk deleted on 2 Jun 2026 12:00 UTC, in 1 d 23:00:00 ." in shown
        assert "Stopped: lifetime over" in shown
        lifetimes_extend(
            machine_id=agent.machine.pk, host=agent.machine.host, end_at=later + timedelta(days=5), now=later
        )
        assert "Lifetime left 5 d 00:00:00" in text(web.get("/instances/"))


def test_the_dialog_shows_bid_minimum_and_cost(web: Client, agent: TestAgent, mine: Instance) -> None:
    page = web.get(bid_path(mine), headers=HTMX)
    shown = text(page)
    assert 'name="price" value="0.30"' in page.content.decode()
    assert "It bids $0.30/h , $0.15 per GPU." in shown
    assert "The least that keeps it running at this moment is $0.20 , the most $1.00" in shown
    assert "Per hour $0.301389" in shown
    rival(agent, 40 * CENT)
    shown = text(web.get(bid_path(mine), headers=HTMX))
    assert "The least that would run it at this moment is $0.420001" in shown
    assert "With this bid it would wait for its turn." in shown
    assert "<html" in web.get(bid_path(mine)).content.decode()


def test_the_cost_follows_the_bid(web: Client, mine: Instance) -> None:
    shown = text(web.get(f"{bid_path(mine)}cost/", {"price": "0.25"}, headers=HTMX))
    assert "That is $0.125 per GPU." in shown
    assert "Per hour $0.251389" in shown
    assert "it would be interrupted now" in text(web.get(f"{bid_path(mine)}cost/", {"price": "0.1"}, headers=HTMX))
    assert "Per hour \N{EN DASH}" in text(web.get(f"{bid_path(mine)}cost/", {"price": "x"}, headers=HTMX))


def test_a_higher_bid_runs_it_again(web: Client, agent: TestAgent, mine: Instance) -> None:
    other = rival(agent, 40 * CENT)
    response = web.post(bid_path(mine), {"price": "0.45"}, headers=HTMX)
    assert response.status_code == 204
    assert "instances-changed" in response.headers["HX-Trigger"]
    assert f"Instance {mine.pk} bids $0.45 per hour." in text(web.get("/instances/cards/", headers=HTMX))
    dirty_clear(now=lambda: T0)
    assert (state(mine), state(other)) == ("scheduling", "outbid")


def test_the_minimum_is_what_the_card_named(web: Client, agent: TestAgent, mine: Instance) -> None:
    rival(agent, 40 * CENT)
    response = web.post(bid_path(mine), {"price": "rubbish", "minimum": "1"})
    assert (response.status_code, response.headers["Location"]) == (302, "/instances/")
    assert f"Instance {mine.pk} bids $0.420001 per hour." in text(web.get("/instances/"))
    dirty_clear(now=lambda: T0)
    assert state(mine) == "scheduling"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "Name your bid"),
        ("x", "'x' is not an amount in dollars"),
        ("NaN", "'NaN' is not an amount in dollars"),
        ("-1", "A bid must be at least $0.001 per hour."),
        ("1e9", "'1e9' is not an amount in dollars"),
        ("0.1234567", "at most 6 decimals"),
        ("1.01", "more than renting on demand costs ($1.00)"),
    ],
)
def test_a_bid_that_makes_no_sense_changes_nothing(web: Client, mine: Instance, typed: str, message: str) -> None:
    response = web.post(bid_path(mine), {"price": typed}, headers=HTMX)
    assert response.status_code == 422
    assert message in field_errors(response, "price")
    mine.refresh_from_db()
    assert mine.bid_micros_per_hour == 30 * CENT


def test_where_no_bid_wins_the_minimum_can_not_be_bid(web: Client, agent: TestAgent, mine: Instance) -> None:
    rival(agent, None)
    page = web.get(bid_path(mine), headers=HTMX)
    assert "On-demand rentals use the GPUs: no bid would run it now." in text(page)
    assert re.search(r'name="minimum" value="1" disabled', page.content.decode())
    refused = web.post(bid_path(mine), {"minimum": "1"}, headers=HTMX)
    assert "no bid would run this instance now" in field_errors(refused, "price")


def test_on_demand_there_is_nothing_to_bid(web: Client, agent: TestAgent, renter: User) -> None:
    fixed = rent(agent, renter, None)
    for response in (web.get(bid_path(fixed), headers=HTMX), web.post(bid_path(fixed), {"price": "1"}, headers=HTMX)):
        assert response.status_code == 409
        assert "it has no bid" in response.headers["HX-Trigger"]


def test_nobody_bids_for_others(other_web: Client, mine: Instance) -> None:
    assert other_web.get(bid_path(mine)).status_code == 404
    assert other_web.get(f"{bid_path(mine)}cost/").status_code == 404
    assert other_web.post(bid_path(mine), {"price": "0.9"}).status_code == 404
    mine.refresh_from_db()
    assert mine.bid_micros_per_hour == 30 * CENT
