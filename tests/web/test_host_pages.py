"""Pages of hosts."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.test import Client

from hosting.models import InstallToken, Listing
from hosting.services.install_tokens import install_token_create
from marketplace.models import Offer, User
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, field_errors, text

pytestmark = pytest.mark.django_db

TERMS = {
    "gpu_micros_per_hour": "0.75",
    "storage_micros_per_gb_month": "0.20",
    "inet_up_micros_per_gb": "0.01",
    "inet_down_micros_per_gb": "0",
    "min_gpus": "2",
    "end_at": "2026-04-30",
}


def prices_url(agent: TestAgent) -> str:
    return f"/host/machines/{agent.machine.pk}/prices/"


def live_sizes(agent: TestAgent) -> list[int]:
    live = Offer.objects.filter(machine=agent.machine, retired_at=None)
    return list(live.order_by("num_gpus").values_list("num_gpus", flat=True))


def test_a_host_without_machines_is_shown_the_way(web: Client) -> None:
    assert "No machines yet" in text(web.get("/host/machines/"))


def test_machines_with_state_terms_occupancy_and_earnings(host_web: Client, agent: TestAgent, renter: User) -> None:
    instance_rent(client=renter, offer_id=market.offer(agent, 2).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    with time_machine.travel(T0 + timedelta(hours=1), tick=False):
        shown = text(host_web.get("/host/machines/"))
    for fact in (
        "4\N{MULTIPLICATION SIGN} RTX 3090",
        "Online",
        "Listed",
        "2 of 4 GPUs",
        "$0.50 per GPU-hour",
        "Earned, 30 days $0.75",
    ):
        assert fact in shown, fact
    assert "Earned, not paid out $0.75 your 75% of what guests paid" in shown


def test_set_prices_shows_the_present_terms(host_web: Client, agent: TestAgent) -> None:
    html = host_web.get(prices_url(agent), headers=HTMX).content.decode()
    assert 'name="gpu_micros_per_hour" value="0.50"' in html
    assert re.search(r'type="date" name="end_at" value="2026-05-31"', html)


def test_set_prices_lists_at_exactly_these_terms(host_web: Client, agent: TestAgent) -> None:
    response = host_web.post(prices_url(agent), TERMS, headers=HTMX)
    assert response.status_code == 204
    assert "machines-changed" in response.headers["HX-Trigger"]
    listing = Listing.objects.get(machine=agent.machine)
    assert (listing.gpu_micros_per_hour, listing.storage_micros_per_gb_month) == (750_000, 200_000)
    assert (listing.inet_up_micros_per_gb, listing.inet_down_micros_per_gb, listing.min_gpus) == (10_000, 0, 2)
    assert listing.end_at.isoformat() == "2026-05-01T00:00:00+00:00"
    assert live_sizes(agent) == [2, 4]
    assert f"Machine {agent.machine.pk} is listed at these prices." in text(
        host_web.get("/host/machines/cards/", headers=HTMX)
    )


def test_saving_the_terms_unchanged_keeps_the_end_date(host_web: Client, agent: TestAgent) -> None:
    host_web.post(prices_url(agent), TERMS)
    html = host_web.get(prices_url(agent)).content.decode()
    assert 'name="end_at" value="2026-04-30"' in html


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("gpu_micros_per_hour", "", "This field is required."),
        ("gpu_micros_per_hour", "0", "more than $0"),
        ("gpu_micros_per_hour", "1000.01", "at most $1000"),
        ("gpu_micros_per_hour", "-1", "more than $0"),
        ("gpu_micros_per_hour", "1e3", "is not an amount in dollars"),
        ("storage_micros_per_gb_month", "101", "between $0 and $100"),
        ("inet_up_micros_per_gb", "abc", "is not an amount in dollars"),
        ("inet_down_micros_per_gb", "-0.5", "between $0 and $100"),
        ("min_gpus", "5", "between 1 and the machine's 4"),
        ("min_gpus", "two", "Enter a whole number."),
        ("end_at", "2026-03-01", "must be in the future"),
        ("end_at", "9999-12-31", "This day is too far away."),
        ("end_at", "2031-01-01", "within three years"),
        ("end_at", "soon", "Enter a valid date."),
    ],
)
def test_terms_that_make_no_sense_are_named_beside_their_field(
    host_web: Client, agent: TestAgent, field: str, value: str, message: str
) -> None:
    response = host_web.post(prices_url(agent), TERMS | {field: value}, headers=HTMX)
    assert response.status_code == 422
    assert message in field_errors(response, field)
    assert Listing.objects.get(machine=agent.machine).gpu_micros_per_hour == 500_000


def test_unlist(host_web: Client, agent: TestAgent) -> None:
    assert host_web.post(f"/host/machines/{agent.machine.pk}/unlist/").status_code == 302
    assert live_sizes(agent) == []
    shown = text(host_web.get("/host/machines/"))
    assert "Not listed" in shown
    assert "is off the market" in shown


def test_a_machines_page_shows_gpus_and_history(host_web: Client, agent: TestAgent) -> None:
    shown = text(host_web.get(f"/host/machines/{agent.machine.pk}/"))
    facts = (
        "RTX 3090",
        "350 W",
        "Free",
        "AMD EPYC 7302, 32 cores",
        "550.54.15 / 12.4",
        "Registered",
        "Listed",
    )
    assert [fact for fact in facts if fact not in shown] == []


@pytest.mark.parametrize("part", ["", "prices/"])
def test_other_peoples_machines_do_not_exist(web: Client, agent: TestAgent, part: str) -> None:
    assert web.get(f"/host/machines/{agent.machine.pk}/{part}").status_code == 404


@pytest.mark.parametrize("part", ["prices/", "unlist/"])
def test_nobody_changes_other_peoples_machines(web: Client, agent: TestAgent, part: str) -> None:
    assert web.post(f"/host/machines/{agent.machine.pk}/{part}", TERMS).status_code == 404
    assert Listing.objects.get(machine=agent.machine).active
    assert live_sizes(agent) == [1, 2, 4]


def test_an_install_token_is_shown_once_with_the_command(web: Client) -> None:
    response = web.post("/host/setup/tokens/", {"name": "basement"})
    command = response.context["command"]
    assert re.fullmatch(r"curl -fsSL http\S+/install\.sh \| sudo bash -s -- syi_\S+", command)
    assert command in text(response)
    again = text(web.get("/host/setup/"))
    assert "basement" in again
    assert command.split()[-1] not in again


def test_a_token_name_has_a_limit(web: Client) -> None:
    response = web.post("/host/setup/tokens/", {"name": "x" * 81})
    assert response.status_code == 422
    assert "at most 80 characters" in field_errors(response, "name")
    assert not InstallToken.objects.exists()


def test_a_token_can_be_revoked_by_its_owner_only(web: Client, other_web: Client, renter: User) -> None:
    token, _ = install_token_create(host=renter, now=T0, name="basement")
    assert other_web.post(f"/host/setup/tokens/{token.pk}/revoke/").status_code == 404
    assert web.post(f"/host/setup/tokens/{token.pk}/revoke/").status_code == 302
    assert "Revoked 2 Mar 2026" in text(web.get("/host/setup/"))


def test_used_tokens_name_their_machine(host_web: Client, agent: TestAgent) -> None:
    assert f"Registered machine {agent.machine.pk}" in text(host_web.get("/host/setup/"))
