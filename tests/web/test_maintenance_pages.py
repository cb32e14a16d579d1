"""Pages on maintenance and on prices beside those of others."""

import pytest
from django.test import Client
from django.urls import reverse

from hosting.models import QuietPeriod
from hosting.services.listing import listing_set
from marketplace.models import Instance, User
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import field_errors, text

pytestmark = pytest.mark.django_db

WINDOW = {"starts_at": "2026-03-03T10:00", "hours": "3", "note": "new fans"}


def url(agent: TestAgent, more: str = "") -> str:
    return f"/host/machines/{agent.machine.pk}/maintenance/{more}"


def rented(agent: TestAgent, renter: User) -> Instance:
    instance = instance_rent(client=renter, offer_id=market.offer(agent, 2).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    return instance


def test_announced_shown_to_all_and_called_off(host_web: Client, web: Client, agent: TestAgent, renter: User) -> None:
    instance = rented(agent, renter)
    assert "Everybody who has an instance" in text(host_web.get(url(agent)))
    assert host_web.post(url(agent), WINDOW).status_code == 302
    machine_page = text(host_web.get(f"/host/machines/{agent.machine.pk}/"))
    assert "3 Mar 2026 10:00 to 3 Mar 2026 13:00 UTC new fans" in machine_page
    notice = "The host announced maintenance of this machine from 3 Mar 10:00 to 3 Mar 13:00 UTC."
    assert notice in text(web.get(f"/instances/{instance.pk}/"))
    assert notice in text(web.get(reverse("rent", args=[market.offer(agent).pk])))
    assert host_web.post(url(agent, "cancel/")).status_code == 302
    assert notice not in text(web.get(f"/instances/{instance.pk}/"))


def test_what_makes_no_sense_is_told_beside_the_field(host_web: Client, agent: TestAgent) -> None:
    answer = host_web.post(url(agent), WINDOW | {"starts_at": "2026-03-01T10:00"})
    assert answer.status_code == 422
    assert "before it begins" in str(field_errors(answer, "starts_at"))
    assert field_errors(host_web.post(url(agent), WINDOW | {"hours": "1000"}), "hours")
    assert host_web.post(url(agent), {"starts_at": "soon", "hours": "x"}).status_code == 422
    assert not QuietPeriod.objects.exists()


def test_others_machines_are_none_of_ones_business(web: Client, agent: TestAgent) -> None:
    assert web.get(url(agent)).status_code == 404
    assert web.post(url(agent), WINDOW).status_code == 404
    assert web.get(f"/host/machines/{agent.machine.pk}/prices/effect/").status_code == 404


def effect(host_web: Client, agent: TestAgent, price: str) -> str:
    found: str = text(host_web.get(f"/host/machines/{agent.machine.pk}/prices/effect/", {"gpu_micros_per_hour": price}))
    return found


def test_a_price_stands_beside_those_of_others_and_what_it_brings(host_web: Client, agent: TestAgent) -> None:
    assert "Not enough data to compare" in effect(host_web, agent, "0.5")
    for micros in (200_000, 300_000, 400_000, 800_000):
        other = market.listed_machine()
        terms = market.terms(gpu_micros_per_hour=micros)
        listing_set(machine_id=other.machine.pk, host=other.machine.host, terms=terms, now=T0)
    shown = effect(host_web, agent, "0.6")
    assert "All 4 GPUs rented bring you $1.80 an hour, your 75%." in shown
    assert "A month at 100% occupancy: $1314.00 , at 50% occupancy: $657.00" in shown
    assert "4 machines of other hosts with this GPU ask $0.275 to $0.50 per GPU and hour" in shown
    assert "$0.35 in the middle" in shown
    assert "dearer than three quarters" in shown
    assert "cheaper than three quarters" in effect(host_web, agent, "0.1")
    for rubbish in ("", "much", "-1", "1e99", "99999"):
        assert "an hour" not in effect(host_web, agent, rubbish)
    assert "4 machines of other hosts" in text(host_web.get(f"/host/machines/{agent.machine.pk}/prices/"))
