"""A person buys credit and saves a card in a real browser, on the site's pages and the provider's."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from playwright.sync_api import Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from billing.models import AutoBilling
from marketplace.models import User
from tests.plumbing import market
from tests.plumbing.provider import Provider, providing

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def provider(tmp_path: Path, settings: Settings, live_server: LiveServer) -> Iterator[Provider]:
    """A provider whose webhooks come to the site as real requests, and to whose pages forms may lead."""
    with providing(tmp_path) as running:
        settings.STRIPE_SECRET_KEY = "sk_test_sandbox"
        settings.STRIPE_WEBHOOK_SECRET = "whsec_sandbox"
        settings.STRIPE_API_BASE = running.url
        policy = settings.CONTENT_SECURITY_POLICY
        directives = {**policy["DIRECTIVES"], "form-action": ["'self'", running.url]}
        settings.CONTENT_SECURITY_POLICY = {**policy, "DIRECTIVES": directives}
        running.control("/webhooks/stripe/url", url=f"{live_server.url}/webhooks/stripe/")
        yield running


@pytest.fixture
def shopper(page: Page, live_server: LiveServer) -> Page:
    """A signed-in account on its payment page."""
    user: User = market.user("ada@example.com")
    client = Client()
    client.force_login(user)
    page.context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )
    return page


def type_card(page: Page, number: str, button: str) -> None:
    expect(page.get_by_text("TEST MODE")).to_be_visible()
    page.get_by_label("Card number").fill(number)
    page.get_by_role("button", name=button).click()


@pytest.mark.usefixtures("provider")
def test_credit_is_bought_and_shown(shopper: Page, live_server: LiveServer) -> None:
    page = shopper
    page.goto(f"{live_server.url}/billing/")
    page.get_by_role("link", name="Add credit", exact=True).click()
    expect(page.locator("h1")).to_have_text("Payment")
    page.get_by_label("Amount", exact=True).fill("40")
    page.get_by_role("button", name="Pay by card").click()
    expect(page.get_by_text("$40.00")).to_be_visible()
    type_card(page, "4000 0000 0000 0002", "Pay")
    expect(page.get_by_role("alert")).to_have_text("Your card was declined.")
    type_card(page, "4242 4242 4242 4242", "Pay")
    expect(page.locator("#payments")).to_contain_text("Paid")
    page.goto(f"{live_server.url}/billing/")
    expect(page.locator(".stats")).to_contain_text(re.compile(r"Credit\s*\$40\.00"))


@pytest.mark.usefixtures("provider")
def test_a_card_is_saved_with_three_d_secure_and_auto_billing_turned_on(shopper: Page, live_server: LiveServer) -> None:
    page = shopper
    page.goto(f"{live_server.url}/billing/payment/")
    page.get_by_role("button", name="Save a card").click()
    type_card(page, "4000 0025 0000 3155", "Save card")
    page.get_by_role("button", name="Complete authentication").click()
    expect(page.locator("#cards")).to_contain_text("3155")
    page.get_by_label("Charge my card when my credit runs low").check()
    page.locator("#auto-billing").get_by_role("button", name="Save").click()
    expect(page.get_by_text("Auto-billing is on.")).to_be_visible()
    assert AutoBilling.objects.get().enabled
