"""Every list and page of the admin opens for staff who came in by the site's own door, and for nobody else."""

from datetime import timedelta
from html import unescape
from urllib.parse import quote

import pytest
import time_machine
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django.fixtures import Settings

from hosting.models import MachineEvent, QuietPeriod
from hosting.services.idle_jobs import idle_job_set
from hosting.services.measuring import benchmark_order
from marketplace.models import User
from marketplace.services.rent import instance_rent
from tests.plumbing import benchmarks, market
from tests.plumbing.market import T0

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff_password(settings: Settings) -> str:
    """The password of staff@example.com, who has not signed in."""
    settings.ACCOUNT_RATE_LIMITS = False  # the clock stands still: all visits seem to come within one second
    account = User.objects.create_superuser("staff@example.com", "a-long-enough-phrase")
    EmailAddress.objects.create(user=account, email=account.email, verified=True, primary=True)
    return "a-long-enough-phrase"


@pytest.fixture
def busy_market() -> None:
    """One of everything a rental leaves."""
    agent = market.listed_machine()
    renter = market.user(dollars=10)
    instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    idle_job_set(
        machine_id=agent.machine.pk,
        host=agent.machine.host,
        image="ubuntu",
        args=["bash"],
        price_micros_per_gpu_hour=1,
        now=T0,
    )
    with override_settings(DLPERF_IMAGE=benchmarks.IMAGE):
        benchmark_order(machine_id=agent.machine.pk, reason="staff", now=T0)


@pytest.mark.usefixtures("busy_market")
@pytest.mark.parametrize("model", list(admin.site._registry), ids=lambda model: model._meta.label)
def test_list_and_page_open(staff: Client, model: type) -> None:
    meta = model._meta  # type: ignore[attr-defined]  # a Django model class
    address = f"admin:{meta.app_label}_{meta.model_name}"
    assert staff.get(reverse(f"{address}_changelist")).status_code == 200
    row = model._default_manager.first()  # type: ignore[attr-defined]  # likewise
    if row is not None:
        page = staff.get(reverse(f"{address}_change", args=[row.pk]))
        assert page.status_code == 200
        assert b"credential_hash" not in page.content


def test_a_busy_machine_has_a_page_like_any_other(staff: Client) -> None:
    machine = market.listed_machine().machine
    page = reverse("admin:hosting_machine_change", args=[machine.pk])

    def happen(times: range) -> int:
        for number in times:
            actor = market.user()
            MachineEvent.objects.create(machine=machine, at=T0, kind="crowd", message=f"<{number}>", actor=actor)
        with CaptureQueriesContext(connection) as queries:
            staff.get(page)
        return len(queries)

    few = happen(range(10))
    assert happen(range(10, 60)) <= few + 1
    shown = unescape(staff.get(page).content.decode())
    assert [f"<{number}>" in shown for number in range(60)] == [False] * 10 + [True] * 50


@pytest.mark.usefixtures("busy_market")
def test_clients_stay_outside(client: Client) -> None:
    client.force_login(market.user())
    assert client.get(reverse("admin:hosting_machine_changelist")).status_code == 302
    assert client.get(reverse("admin:hosting_machine_changelist"), follow=True).status_code == 403
    assert client.get("/admin/login/").status_code == 403


def test_staff_sign_in_on_the_sites_own_page_and_come_back(client: Client, staff_password: str) -> None:
    machines = reverse("admin:hosting_machine_changelist")
    asked = client.get(machines, follow=True)
    assert asked.redirect_chain[-1][0] == f"/accounts/login/?next={quote(machines, safe='')}"
    login = {"login": "staff@example.com", "password": staff_password, "next": machines}
    back = client.post("/accounts/login/", login, follow=True)
    assert (back.redirect_chain, back.status_code) == ([(machines, 302)], 200)
    assert client.get("/admin/login/", follow=True).redirect_chain == [("/admin/", 302)]


def test_the_admins_login_takes_no_password_of_its_own(client: Client, staff_password: str) -> None:
    """It would ask for no second factor and count no failures."""
    login = {"username": "staff@example.com", "password": staff_password, "next": "/admin/"}
    answer = client.post("/admin/login/?next=/admin/", login)
    assert answer.headers["Location"] == "/accounts/login/?next=%2Fadmin%2F"
    assert "_auth_user_id" not in client.session


def test_staff_with_a_second_factor_are_asked_for_it(client: Client, staff_password: str) -> None:
    account = User.objects.get(email="staff@example.com")
    Authenticator.objects.create(user=account, type=Authenticator.Type.TOTP, data={"secret": "JBSWY3DPEHPK3PXP"})
    login = {"login": account.email, "password": staff_password, "next": "/admin/"}
    answer = client.post("/accounts/login/", login)
    assert answer.headers["Location"].startswith("/accounts/2fa/authenticate/")
    assert client.get("/admin/").status_code == 302


def period(machine: object, begins: str, ends: str) -> dict[str, object]:
    return {
        "machine_number": machine,
        "begins_0": "2026-03-02",
        "begins_1": begins,
        "ends_0": "2026-03-02",
        "ends_1": ends,
        "why": "New power supply",
    }


def test_staff_announce_maintenance_end_it_and_record_outages_of_ours(staff: Client) -> None:
    agent = market.listed_machine()
    add = reverse("admin:hosting_quietperiod_add")
    with time_machine.travel(T0, tick=False):
        assert staff.post(add, period(agent.machine.pk, "14:00", "18:00")).status_code == 302
        assert staff.post(add, period("", "09:00", "10:00")).status_code == 302
    announced, outage = QuietPeriod.objects.order_by("pk")
    assert (announced.kind, announced.machine_id, announced.note) == (
        "maintenance",
        agent.machine.pk,
        "New power supply",
    )
    assert (outage.kind, outage.machine_id, outage.ends_at) == ("own_outage", None, T0 - timedelta(hours=2))
    listed = reverse("admin:hosting_quietperiod_changelist")
    with time_machine.travel(T0 + timedelta(hours=3), tick=False):
        staff.post(listed, {"action": "end_now", "_selected_action": [announced.pk, outage.pk]})
    announced.refresh_from_db()
    assert announced.ends_at == T0 + timedelta(hours=3)


@pytest.mark.parametrize(
    ("begins", "ends", "reason"),
    [
        ("11:00", "14:00", "Maintenance is announced before it begins"),
        ("15:00", "14:00", "Maintenance begins before it ends"),
    ],
)
def test_maintenance_is_not_announced_afterwards_nor_backwards(
    staff: Client, begins: str, ends: str, reason: str
) -> None:
    agent = market.listed_machine()
    with time_machine.travel(T0, tick=False):
        address = reverse("admin:hosting_quietperiod_add")
        refused = staff.post(address, period(agent.machine.pk, begins, ends), follow=True)
    assert reason in refused.content.decode()
    assert not QuietPeriod.objects.exists()


def test_accounts_are_not_deleted(staff: Client) -> None:
    user = market.user()
    assert staff.post(reverse("admin:marketplace_user_delete", args=[user.pk]), {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=user.pk).exists()
