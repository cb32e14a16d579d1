"""Staff's pages: suspending, timelines, features, the fleet."""

import re
import secrets
from datetime import timedelta
from html import unescape

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings
from waffle.models import Flag

from billing.features import feature_on
from hosting.models import Machine, MachineEvent
from hosting.services.install_tokens import install_token_create
from marketplace.models import AuditEntry, Instance, User
from marketplace.services.keys import api_key_create
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0

pytestmark = pytest.mark.django_db


@pytest.fixture
def rental() -> Instance:
    """Runs for an hour on another's machine."""
    agent = market.listed_machine()
    renter = market.user("renter@example.com", dollars=10)
    instance = instance_rent(
        client=renter, offer_id=market.offer(agent).pk, request=market.wish(env={"TOKEN": "hunter2"}), now=T0
    )
    agent.obey(T0)
    return instance


@pytest.fixture(autouse=True)
def own_cache(settings: Settings) -> None:
    """Features that are switched off here must be so for no other test, running now or later."""
    backend = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": secrets.token_hex(8)}}


def text(page: object) -> str:
    return unescape(page.content.decode())  # type: ignore[attr-defined]  # a response of the test client


def suspend(staff: Client, renter: User) -> None:
    with time_machine.travel(T0 + timedelta(hours=1), tick=False):
        sent = staff.post(reverse("staff:account_suspend", args=[renter.pk]), {"reason": "A stolen card."})
    assert sent.status_code == 302


def test_a_machine_is_suspended_with_a_reason_and_let_back(staff: Client, rental: Instance) -> None:
    change = reverse("admin:hosting_machine_change", args=[rental.machine_id])
    assert "Lift the suspension" not in text(staff.get(change))
    page = reverse("staff:machine_suspend", args=[rental.machine_id])
    assert staff.get(page).status_code == 200
    refused = staff.post(page, {"reason": " "})
    assert (refused.status_code, "This field is required." in text(refused)) == (422, True)
    assert staff.post(page, {"reason": "Cheats.", "evicts": "on"}, follow=True).redirect_chain == [(change, 302)]
    assert Machine.objects.get(pk=rental.machine_id).suspended_reason == "Cheats."
    assert Instance.objects.get(pk=rental.pk).state == "stopping"
    restore = reverse("staff:machine_restore", args=[rental.machine_id])
    assert "Cheats." in text(staff.get(restore))
    assert staff.post(restore).status_code == 302
    again = staff.post(restore)
    assert (again.status_code, "is not suspended" in text(again)) == (422, True)


def test_the_host_sees_why_its_machine_is_suspended(staff: Client, rental: Instance) -> None:
    staff.post(reverse("staff:machine_suspend", args=[rental.machine_id]), {"reason": "Cheats at GEMM."})
    host = Client()
    host.force_login(rental.machine.host)
    assert "Cheats at GEMM." in text(host.get(reverse("host_machine", args=[rental.machine_id])))
    assert "Suspended" in text(host.get(reverse("host_machines")))


def test_a_suspended_account_gets_nowhere_and_is_told_why(staff: Client, rental: Instance) -> None:
    renter = rental.client
    inside = Client()
    inside.force_login(renter)
    _, key = api_key_create(user=renter, name="laptop", now=T0)
    suspend(staff, renter)
    for name in ("search", "instances", "billing", "account"):
        page = inside.get(reverse(name))
        assert (page.status_code, "A stolen card." in text(page)) == (403, True)
    assert inside.get(reverse("instance_cards"), headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"
    answer = inside.get("/api/v0/instances/", headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["error"]) == (403, "account_suspended")
    assert inside.get(reverse("help")).status_code == 200
    assert inside.post(reverse("account_logout")).status_code == 302
    staff.post(reverse("staff:account_restore", args=[renter.pk]))
    inside.force_login(renter)
    assert inside.get(reverse("instances")).status_code == 200


def test_timelines_tell_what_happened_latest_first_and_in_pages(staff: Client, rental: Instance) -> None:
    suspend(staff, rental.client)
    with time_machine.travel(T0 + timedelta(hours=2), tick=False):
        _look_at_timelines(staff, rental)


def _look_at_timelines(staff: Client, rental: Instance) -> None:
    account = text(staff.get(reverse("staff:account_timeline", args=[rental.client_id])))
    assert account.index("account.suspended") < account.index("rented")
    assert "A stolen card." in account
    machine = reverse("staff:machine_timeline", args=[rental.machine_id])
    assert "registered" in text(staff.get(machine))
    only = text(staff.get(machine, {"kind": "instance"}))
    assert f"Instance {rental.pk}" in only
    assert ">registered<" not in only
    assert "Nothing happened." in text(staff.get(machine, {"before": "2020-01-01T00:00:00+00:00"}))
    assert staff.get(machine, {"before": "yesterday"}).status_code == 400


def test_a_timeline_goes_on_in_the_middle_of_an_instant(staff: Client, rental: Instance) -> None:
    MachineEvent.objects.bulk_create(
        [MachineEvent(machine=rental.machine, at=T0, kind=f"crowd-{n:03}") for n in range(230)]
    )
    page = reverse("staff:machine_timeline", args=[rental.machine_id])
    with time_machine.travel(T0 + timedelta(hours=1), tick=False):
        told, address = "", page
        while address:
            shown = text(staff.get(address))
            told += shown
            older = re.search(r'href="(\?[^"]*before=[^"]*)"', shown)
            address = page + older[1] if older else ""
    assert [told.count(f">crowd-{n:03}<") for n in range(230)] == [1] * 230


def test_who_took_a_machine_off_the_market_is_told(staff: Client, boss: User, rental: Instance) -> None:
    listed = reverse("admin:hosting_machine_changelist")
    staff.post(listed, {"action": "unlist", "_selected_action": [rental.machine_id]})
    assert MachineEvent.objects.get(machine=rental.machine, kind="unlisted").actor == boss


def switch(staff: Client, name: str, **values: object) -> int:
    staff.get(reverse("admin:marketplace_feature_changelist"))
    flag = Flag.objects.get(name=name)
    return staff.post(reverse("admin:marketplace_feature_change", args=[flag.pk]), values).status_code


def test_features_are_listed_and_switched_off_for_everybody(staff: Client, boss: User) -> None:
    assert "Nothing is rented on demand." in text(staff.get(reverse("admin:marketplace_feature_changelist")))
    assert feature_on("rent")
    assert switch(staff, "rent", everyone="false") == 302
    assert not feature_on("rent", boss)
    entry = AuditEntry.objects.get(action="feature.switched")
    assert (entry.object_id, entry.message, entry.actor) == ("rent", "off", boss)
    assert switch(staff, "rent", everyone="true") == 302
    assert feature_on("rent")


def test_a_feature_is_given_to_some_first(staff: Client) -> None:
    chosen, other = market.user(), market.user()
    assert switch(staff, "move", everyone="unknown", percent="0", users=[chosen.pk]) == 302
    assert (feature_on("move", chosen), feature_on("move", other), feature_on("move")) == (True, False, False)
    assert switch(staff, "sign_up", everyone="unknown") == 200  # it is nobody's in particular: the form says so
    assert feature_on("sign_up")


def test_what_is_switched_off_is_refused_with_a_sentence(staff: Client) -> None:
    agent = market.listed_machine()
    renter = market.user(dollars=10)
    _, key = api_key_create(user=renter, name="laptop", now=T0)
    for name in ("rent", "sign_up", "add_machines"):
        switch(staff, name, everyone="false")
    answer = Client().put(
        f"/api/v0/asks/{market.offer(agent).pk}/",
        {"image": "ubuntu", "disk": 10},
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )
    assert (answer.status_code, answer.json()["error"]) == (503, "switched_off")
    assert "switched off" in text(Client().get(reverse("account_signup")))
    install_token_create(host=renter, now=T0)
    with pytest.raises(Exception, match="Adding machines is switched off"):
        market.register(renter)


def test_the_front_page_shows_the_fleet(staff: Client, rental: Instance) -> None:
    page = text(staff.get("/admin/"))
    assert "Machines online" in page
    assert "RTX 3090" in page
    assert "25%" in page  # one of four
    Machine.objects.filter(pk=rental.machine_id).update(online=False)
    assert "1 instance, last heard" in text(staff.get("/admin/"))
