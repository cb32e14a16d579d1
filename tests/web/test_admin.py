"""Every list and page of the admin opens for staff, and for nobody else."""

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from marketplace.models import User
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff@example.com", "pass"))
    return client


@pytest.fixture
def busy_market() -> None:
    """One of everything a rental leaves."""
    agent = market.listed_machine()
    renter = market.user(dollars=10)
    instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    agent.obey(T0)


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


@pytest.mark.usefixtures("busy_market")
def test_clients_stay_outside(client: Client) -> None:
    client.force_login(market.user())
    assert client.get(reverse("admin:hosting_machine_changelist")).status_code == 302
