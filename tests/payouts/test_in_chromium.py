"""A host in a real browser goes to the providers' pages and comes back, under the site's strict policy."""

import pytest
from django.test import Client
from playwright.sync_api import Page, expect
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from billing.models import PayoutMethod
from marketplace.models import User
from tests.payouts.providers import Providers

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_bank_account_and_then_paypal(
    live_server: LiveServer, page: Page, providers: Providers, host_user: User, client: Client, settings: Settings
) -> None:
    settings.SITE_URL = live_server.url
    client.force_login(host_user)
    session = client.cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])

    page.goto(f"{live_server.url}/host/payouts/")
    page.get_by_role("button", name="Set up payouts").click()
    page.wait_for_url(f"{providers.url}/setup/e/**")
    page.get_by_role("button", name="Agree and submit").click()
    page.wait_for_url(f"{live_server.url}/host/payouts/")
    expect(page.get_by_text("STRIPE TEST BANK ••6789")).to_be_visible()
    assert PayoutMethod.objects.get(host=host_user).state == "ready"

    page.get_by_label("Where you are paid").select_option(label="Germany")
    page.get_by_role("button", name="Change").click()
    page.wait_for_url(f"{providers.url}/signin/authorize**")
    page.get_by_label("E-mail").fill("hugo@example.com")
    page.get_by_role("button", name="Agree and continue").click()
    page.wait_for_url(f"{live_server.url}/host/payouts/")
    expect(page.get_by_text("PayPal: hugo@example.com")).to_be_visible()
    assert PayoutMethod.objects.get(host=host_user).provider == "paypal"
