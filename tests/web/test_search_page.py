"""The search page."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from hosting.services.offline import machine_mark_offline
from marketplace.models import Offer
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, field_errors, text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("agent")]


def offer_count(response: Any) -> int:
    return int(response.content.decode().count('<article class="offer'))


def test_everybody_sees_offers_with_price_and_performance(client: Client) -> None:
    page = client.get("/")
    shown = text(page)
    assert offer_count(page) == 3
    for fact in (
        "4\N{MULTIPLICATION SIGN} RTX 3090",
        "24 GB each",
        "Oslo, NO",
        "$2.002 / hour",
        "incl. 10 GB disk",
        "Simulated",
        "90 d 0 h",
    ):
        assert fact in shown, fact
    assert "DLPerf of the model 24.9" in shown


def test_filters_narrow_and_the_address_keeps_them(client: Client) -> None:
    page = client.get("/?gpus=2&sort=price")
    assert offer_count(page) == 1
    html = page.content.decode()
    assert 'name="gpus" value="2" checked' in html
    assert '<option value="price" selected>' in html


@pytest.mark.parametrize(
    ("query", "sizes"),
    [
        ("price_max=1.1", [1, 2]),
        ("dlperf_min=60", [4]),
        ("vram_min=24", [1, 2, 4]),
        ("vram_min=25", []),
        ("gpu=RTX+3090", [1, 2, 4]),
        ("gpu=RTX+4090", []),
        ("country=NO", [1, 2, 4]),
        ("country=SE", []),
        ("reliability_min=0.99", []),
        ("verified=on", []),
        ("disk=300", [2, 4]),
        ("gpus=9%2B", []),
    ],
)
def test_each_filter(client: Client, query: str, sizes: list[int] | None) -> None:
    page = client.get(f"/?sort=price&{query}")
    assert [offer["num_gpus"] for offer in page.context["offers"]] == sizes


@pytest.mark.parametrize(
    ("sort", "sizes"), [("price", [1, 2, 4]), ("dlperf", [4, 2, 1]), ("vram", [4, 2, 1]), ("reliability", None)]
)
def test_sorting(client: Client, sort: str, sizes: list[int] | None) -> None:
    found = [offer["num_gpus"] for offer in client.get(f"/?sort={sort}").context["offers"]]
    assert found == sizes or (sizes is None and sorted(found) == [1, 2, 4])


def test_htmx_gets_the_offers_alone(client: Client) -> None:
    page = client.get("/?gpus=1", headers=HTMX)
    assert offer_count(page) == 1
    assert "<html" not in page.content.decode()
    assert "HX-Request" in page.headers["Vary"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("price_max", "cheap", "'cheap' is not an amount in dollars"),
        ("vram_min", "lots", "Enter a number."),
        ("dlperf_min", "-3", "greater than or equal to 0"),
        ("disk", "0", "greater than or equal to 1"),
        ("disk", "1.5.", "Enter a whole number."),
        ("reliability_min", "3", "not one of the available choices"),
        ("sort", "colour", "not one of the available choices"),
        ("gpus", "x", "not one of the available choices"),
    ],
)
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_bad_input_is_named_beside_its_field(
    client: Client, name: str, value: str, message: str, headers: dict[str, str]
) -> None:
    page = client.get("/", {name: value}, headers=headers)
    assert page.status_code == 422
    assert offer_count(page) == 0
    assert message in field_errors(page, name)


def test_nothing_found_says_what_to_do(client: Client) -> None:
    assert "Nothing fits these filters now" in text(client.get("/?price_max=0.01"))


def test_unavailable_offers_appear_on_request_and_cannot_be_rented(client: Client, agent: TestAgent) -> None:
    Offer.objects.filter(machine=agent.machine, num_gpus=4).update(rentable=False, rented=True)
    assert offer_count(client.get("/")) == 2
    page = client.get("/?unavailable=on&gpus=4")
    assert "Rented out" in text(page)
    assert "/rent/" not in page.content.decode()


def test_a_bookmarked_gpu_that_is_gone_stays_chosen(client: Client) -> None:
    page = client.get("/?gpu=RTX+9999")
    assert page.status_code == 200
    assert '<option value="RTX 9999" selected>RTX 9999 (0)</option>' in page.content.decode()


def test_models_and_countries_come_with_their_counts(client: Client) -> None:
    html = client.get("/").content.decode()
    assert '<option value="RTX 3090" >RTX 3090 (3)</option>' in html
    assert '<option value="NO" >NO (3)</option>' in html


def test_more_offers_on_request(client: Client) -> None:
    page = client.get("/?limit=2", headers=HTMX)
    assert offer_count(page) == 2
    assert "Show more" in text(page)
    assert '"limit": 42' in page.content.decode()
    assert "Show more" not in text(client.get("/?limit=42", headers=HTMX))


def test_a_machine_that_goes_offline_leaves_the_page(client: Client, agent: TestAgent) -> None:
    machine_mark_offline(machine_id=agent.machine.pk, last_seen_at=T0, now=T0 + timedelta(minutes=2))
    assert offer_count(client.get("/")) == 0
    assert "Unavailable" in text(client.get("/?unavailable=on"))


def test_hosts_see_which_offers_are_theirs(host_web: Client) -> None:
    page = host_web.get("/")
    assert "Yours" in text(page)
    assert "/rent/" not in page.content.decode()
