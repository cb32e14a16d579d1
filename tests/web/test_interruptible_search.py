"""Searching for interruptible instances: prices are what bids need."""

import pytest
from django.test import Client

from marketplace.models import User
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, field_errors, text

pytestmark = pytest.mark.django_db

CENT = 10_000
URL = "/?type=interruptible"


@pytest.fixture
def agent() -> TestAgent:
    """Four RTX 3090 at $0.50 each, no bid below ten cents."""
    return market.listed_machine(market.user("host@example.com"), min_bid_micros_per_gpu_hour=10 * CENT)


def bid(agent: TestAgent, micros: int, gpus: int, client: User | None = None) -> None:
    wish = market.wish(bid_micros_per_hour=micros)
    instance_rent(client=client or market.user(dollars=50), offer_id=market.offer(agent, gpus).pk, request=wish, now=T0)
    agent.obey(T0)


@pytest.mark.usefixtures("agent")
def test_on_demand_is_what_one_gets_unless_one_asks(client: Client) -> None:
    page = client.get("/")
    html = page.content.decode()
    assert 'name="type" value="" form="search-form" checked' in html
    assert "type=interruptible" not in html
    assert "min. bid" not in text(page)
    assert "$2.002 / hour" in text(page)


def test_every_card_shows_the_minimum_bid_and_the_on_demand_price(client: Client, agent: TestAgent) -> None:
    bid(agent, 60 * CENT, 2)
    shown = text(client.get(f"{URL}&gpus=4&disk=100"))
    assert "min. bid $0.630001 / h $0.157501 per GPU $0.644 / h incl. 100 GB disk on demand $2.00 / h Bid" in shown
    single = text(client.get(f"{URL}&gpus=1"))
    assert "min. bid $0.10 / h $0.102 / h incl. 10 GB disk on demand $0.50 / h Bid" in single


def test_where_bids_reach_the_on_demand_price_the_card_says_so(client: Client, agent: TestAgent) -> None:
    bid(agent, 200 * CENT, 4)
    shown = text(client.get(f"{URL}&gpus=1"))
    assert "min. bid $2.100001 / h" in shown
    assert "bids here reach the on-demand price on demand $0.50 / h" in shown


def test_sorting_and_the_price_filter_follow_the_minimum_bid(client: Client, agent: TestAgent) -> None:
    other = market.listed_machine(gpus=1, gpu_micros_per_hour=200_000, min_bid_micros_per_gpu_hour=150_000)
    cheap = market.offer(agent, 1).pk, market.offer(other, 1).pk
    assert [offer["id"] for offer in client.get(f"{URL}&gpus=1&sort=price").context["offers"]] == list(cheap)
    assert [offer["id"] for offer in client.get("/?gpus=1&sort=price").context["offers"]] == list(reversed(cheap))
    found = client.get(f"{URL}&gpus=1&price_max=0.14").context["offers"]
    assert [offer["id"] for offer in found] == [cheap[0]]


def test_the_mode_travels_into_the_dialog_and_stays_when_filters_are_cleared(web: Client, agent: TestAgent) -> None:
    html = web.get(URL).content.decode()
    path = f"/offers/{market.offer(agent, 4).pk}/rent/?disk_gb=10&amp;type=interruptible"
    assert html.count(f'"{path}"') == 2
    assert 'id="clear-filters" href="/?type=interruptible"' in html
    part = web.get(URL, headers=HTMX).content.decode()
    assert 'id="clear-filters" href="/?type=interruptible" hx-swap-oob="true"' in part
    assert 'href="/?type=interruptible"' in web.get(f"{URL}&price_max=0.01").content.decode()


def test_offers_that_no_bid_would_win_can_be_waited_for(web: Client, agent: TestAgent) -> None:
    offer = market.offer(agent, 4)
    instance_rent(client=market.user(dollars=50), offer_id=offer.pk, request=market.wish(), now=T0)
    assert "Nothing fits" in text(web.get(URL))
    page = web.get(f"{URL}&unavailable=on&gpus=4")
    assert "No bid wins now on-demand rentals use its GPUs on demand $2.00 / h Bid and wait" in text(page)
    assert "/rent/" not in web.get("/?unavailable=on&gpus=4").content.decode()


@pytest.mark.usefixtures("agent")
def test_a_type_that_makes_no_sense_is_named_and_offers_nothing(client: Client) -> None:
    page = client.get("/?type=spot")
    assert page.status_code == 422
    assert "not one of the available choices" in field_errors(page, "type")
    assert "/rent/" not in page.content.decode()


def test_hosts_do_not_bid_on_their_own(host_web: Client) -> None:
    page = host_web.get(URL)
    assert "Yours" in text(page)
    assert "/rent/" not in page.content.decode()
