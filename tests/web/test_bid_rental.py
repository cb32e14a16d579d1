"""The rent dialog for interruptible instances."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from hosting.services.listing import listing_set
from hosting.services.offline import machine_mark_offline
from marketplace.models import Instance, Offer, User
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, field_errors, text

pytestmark = pytest.mark.django_db

CENT = 10_000
WISH = {"rental_type": "interruptible", "image": "ubuntu:22.04", "disk_gb": "20", "mode": "ssh", "price": "0.3"}
WAIT_LABEL = "Wait for my turn if the bid does not win now"


@pytest.fixture
def agent() -> TestAgent:
    """Two RTX 3090 at $0.50 each, no bid below ten cents."""
    return market.listed_machine(market.user("host@example.com"), gpus=2, min_bid_micros_per_gpu_hour=10 * CENT)


@pytest.fixture
def offer(agent: TestAgent) -> Offer:
    return market.offer(agent, 2)


def url(offer: Offer) -> str:
    return f"/offers/{offer.pk}/rent/"


def rival(agent: TestAgent, micros: int | None, gpus: int = 2) -> Instance:
    """Somebody else who runs there, at a bid or on demand."""
    wish = market.wish(bid_micros_per_hour=micros)
    found = instance_rent(client=market.user(dollars=50), offer_id=market.offer(agent, gpus).pk, request=wish, now=T0)
    agent.obey(T0)
    return found


def chosen_type(response: Any) -> list[str]:
    return re.findall(r'name="rental_type" value="(\w+)" checked', response.content.decode())


def test_the_search_decides_the_type_and_the_dialog_says_it(web: Client, offer: Offer) -> None:
    bidding = web.get(f"{url(offer)}?type=interruptible", headers=HTMX)
    assert chosen_type(bidding) == ["interruptible"]
    assert chosen_type(web.get(url(offer), headers=HTMX)) == ["on_demand"]
    html = " ".join(bidding.content.decode().split())
    assert '<span class="only-on-demand">on demand</span><span class="only-bid">interruptible</span>' in html
    shown = text(bidding)
    assert "Rent on demand for $1.00/h" in shown
    assert "Rent interruptible , bidding $0.20/h" in shown


def test_the_dialog_suggests_the_minimum_and_tells_what_it_costs(web: Client, agent: TestAgent, offer: Offer) -> None:
    rival(agent, 30 * CENT)
    page = web.get(f"{url(offer)}?type=interruptible&disk_gb=100", headers=HTMX)
    assert re.search(r'name="price" value="0.315001"', page.content.decode())
    shown = text(page)
    assert "That is $0.157501 per GPU. The minimum at this moment is $0.315001 , the most $1.00." in shown
    assert "while running, your bid $0.3150 100 GB disk, as long as it exists $0.0139 Per hour $0.3289" in shown
    assert "when others bid more or rent on demand, your container gets 30 seconds to save its work" in shown
    assert WAIT_LABEL not in shown


def test_prices_follow_the_bid_and_the_disk(web: Client, offer: Offer) -> None:
    path = f"/offers/{offer.pk}/price/"
    shown = text(web.get(path, {"disk_gb": "200", "price": "0.25"}, headers=HTMX))
    assert "your bid $0.2500 200 GB disk, as long as it exists $0.0278 Per hour $0.2778" in shown
    assert ", bidding $0.25/h" in shown
    assert WAIT_LABEL not in shown
    low = web.get(path, {"disk_gb": "200", "price": "0.19", "accepts_waiting": "on"}, headers=HTMX)
    assert "This bid would not run now." in text(low)
    assert WAIT_LABEL in text(low)
    assert re.search(r'name="accepts_waiting"[^>]*checked', low.content.decode())


@pytest.mark.parametrize("typed", ["", "abc", "NaN", "-1", "1e9", "0.1234567", "0"])
def test_while_rubbish_is_typed_there_is_no_price(web: Client, offer: Offer, typed: str) -> None:
    response = web.get(f"/offers/{offer.pk}/price/", {"disk_gb": "20", "price": typed}, headers=HTMX)
    assert "your bid \N{EN DASH}" in text(response)
    assert "bidding" not in text(response)


def test_bidding_rents_an_interruptible_instance(web: Client, renter: User, offer: Offer) -> None:
    response = web.post(url(offer), WISH, headers=HTMX)
    assert (response.status_code, response.headers["HX-Redirect"]) == (204, "/instances/")
    instance = Instance.objects.get(client=renter)
    assert (instance.rental_type, instance.bid_micros_per_hour, instance.state) == ("interruptible", 300_000, "loading")
    assert f"Rented. Instance {instance.pk} is being prepared." in text(web.get("/instances/"))


@pytest.mark.parametrize("forgotten", ["rental_type", "price"])
def test_nothing_is_rented_on_demand_by_forgetting_a_field(web: Client, offer: Offer, forgotten: str) -> None:
    response = web.post(url(offer), {key: value for key, value in WISH.items() if key != forgotten}, headers=HTMX)
    assert response.status_code == 422
    assert field_errors(response, forgotten) in (
        "Choose how to rent: on demand or interruptible.",
        "Name your bid: dollars per hour for all GPUs together.",
    )
    assert not Instance.objects.exists()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("-0.2", "A bid must be at least $0.001 per hour."),
        ("0", "A bid must be at least $0.001 per hour."),
        ("NaN", "'NaN' is not an amount in dollars"),
        ("1e9", "'1e9' is not an amount in dollars"),
        ("cheap", "'cheap' is not an amount in dollars"),
        ("0.1234567", "'0.1234567' is not an amount in dollars such as 12.50 (at most 6 decimals)."),
        ("1000000000", "is more than renting on demand costs ($1.00)"),
        ("1.000001", "is more than renting on demand costs ($1.00)"),
        ("9" * 30, "This is too long for an amount"),
        ("0.199999", "would not run now: the minimum is $0.20."),
    ],
)
def test_a_bid_that_makes_no_sense_is_named_beside_its_field(
    web: Client, offer: Offer, typed: str, message: str
) -> None:
    response = web.post(url(offer), WISH | {"price": typed}, headers=HTMX)
    assert response.status_code == 422
    assert message in field_errors(response, "price")
    assert (WAIT_LABEL in text(response)) is ("the minimum is" in message)
    assert not Instance.objects.exists()


def test_what_stands_in_the_bid_is_nobodys_concern_on_demand(web: Client, renter: User, offer: Offer) -> None:
    wish = WISH | {"rental_type": "on_demand", "price": "rubbish", "accepts_waiting": "on"}
    assert web.post(url(offer), wish, headers=HTMX).status_code == 204
    assert Instance.objects.get(client=renter).bid_micros_per_hour is None


def test_a_low_bid_waits_if_asked(web: Client, renter: User, agent: TestAgent, offer: Offer) -> None:
    rival(agent, 30 * CENT)
    refused = web.post(url(offer), WISH, headers=HTMX)
    assert "the minimum is $0.315001" in field_errors(refused, "price")
    assert web.post(url(offer), WISH | {"accepts_waiting": "on"}, headers=HTMX).status_code == 204
    assert Instance.objects.get(client=renter).state == "outbid"
    assert "Your bid is placed." in text(web.get("/instances/"))


def test_where_no_bid_wins_one_can_wait(web: Client, renter: User, agent: TestAgent) -> None:
    rival(agent, None)
    offer = market.offer(agent, 2)
    page = web.get(f"{url(offer)}?type=interruptible", headers=HTMX)
    shown = text(page)
    assert "On-demand rentals hold the GPUs, so no bid would run now. You can bid and wait" in shown
    assert "It can't be rented on demand now: others rent its GPUs." in shown
    assert re.search(r'name="price" (?!value)', page.content.decode())
    refused = web.post(url(offer), WISH, headers=HTMX)
    assert "would run now: on-demand rentals use its GPUs" in field_errors(refused, "price")
    assert web.post(url(offer), WISH | {"accepts_waiting": "on"}, headers=HTMX).status_code == 204
    assert Instance.objects.get(client=renter).state == "outbid"


def test_bids_as_high_as_the_on_demand_price_leave_no_room_for_others(
    web: Client, agent: TestAgent, offer: Offer
) -> None:
    rival(agent, 100 * CENT)
    shown = text(web.get(f"{url(offer)}?type=interruptible", headers=HTMX))
    assert "Those who run bid as much as renting on demand costs, so no bid would run now." in shown
    assert "It can't be rented on demand" not in shown


def test_a_machine_out_of_reach_is_no_fault_of_on_demand_rentals(web: Client, agent: TestAgent) -> None:
    machine_mark_offline(machine_id=agent.machine.pk, last_seen_at=T0, now=T0 + timedelta(minutes=2))
    shown = text(web.get(f"{url(market.offer(agent, 2))}?type=interruptible", headers=HTMX))
    assert "The machine takes nobody at this moment" in shown
    assert "hold the GPUs" not in shown


def test_an_offer_that_was_replaced_leads_to_its_successor_in_the_same_mode(
    web: Client, agent: TestAgent, offer: Offer
) -> None:
    terms = market.terms(gpu_micros_per_hour=400_000)
    listing_set(machine_id=agent.machine.pk, host=agent.machine.host, terms=terms, now=T0)
    successor = market.offer(agent, 2)
    html = web.get(f"{url(offer)}?type=interruptible", headers=HTMX).content.decode()
    assert f'hx-get="/offers/{successor.pk}/rent/?disk_gb=10&amp;type=interruptible"' in html
    refused = web.post(url(offer), WISH, headers=HTMX)
    assert "is not available any more" in text(refused)
    assert field_errors(refused, "price") == ""


def test_a_double_click_bids_once_and_another_dialog_once_more(web: Client, renter: User, offer: Offer) -> None:
    def key() -> str:
        html = web.get(f"{url(offer)}?type=interruptible", headers=HTMX).content.decode()
        found = re.search(r'name="idempotency_key" value="([\w-]{20,})"', html)
        assert found is not None
        return found[1]

    first, second = key(), key()
    assert first != second
    for one in (first, first, second):
        wish = WISH | {"idempotency_key": one, "accepts_waiting": "on"}
        assert web.post(url(offer), wish, headers=HTMX).status_code == 204
    assert Instance.objects.filter(client=renter).count() == 2


def test_a_refused_dialog_keeps_its_key(web: Client, offer: Offer) -> None:
    refused = web.post(url(offer), WISH | {"idempotency_key": "abc", "disk_gb": "1"}, headers=HTMX)
    assert 'name="idempotency_key" value="abc"' in refused.content.decode()


def test_without_credit_for_the_bid_the_dialog_warns(client: Client, offer: Offer) -> None:
    client.force_login(market.user("poor@example.com"))
    shown = text(client.get(f"{url(offer)}?type=interruptible", headers=HTMX))
    assert "This rental needs at least $0.20, one hour of it." in shown
