"""What all pages share: access, the balance, refusals, security headers."""

from datetime import timedelta

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.template.loader import render_to_string
from django.test import Client, override_settings

from marketplace.models import User
from marketplace.services.rent import instance_rent
from marketplace.web.context import section_of
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, text

PRIVATE = [
    "/instances/",
    "/instances/cards/",
    "/instances/1/",
    "/instances/1/live/",
    "/instances/1/connect/",
    "/instances/1/bid/",
    "/instances/1/bid/cost/",
    "/instances/1/label/",
    "/instances/1/destroy/",
    "/offers/1/rent/",
    "/offers/1/price/",
    "/templates/new/",
    "/templates/1/edit/",
    "/templates/1/delete/",
    "/account/",
    "/billing/",
    "/billing/balance/",
    "/billing/summary/",
    "/billing/statement/",
    "/host/machines/",
    "/host/machines/cards/",
    "/host/machines/1/",
    "/host/machines/1/prices/",
    "/host/setup/",
    "/host/payouts/",
    "/host/payouts/stripe/",
    "/host/payouts/stripe/return/",
    "/host/payouts/paypal/return/",
    "/host/invoices/20260306-1/",
    "/host/invoices/20260306-1.pdf",
    "/host/invoices/20260306-1.csv",
]
PRIVATE_POSTS = [
    "/instances/1/start/",
    "/instances/1/stop/",
    "/instances/1/reboot/",
    "/instances/1/destroy/",
    "/instances/1/bid/",
    "/instances/1/label/",
    "/offers/1/rent/",
    "/templates/new/",
    "/templates/1/edit/",
    "/templates/1/copy/",
    "/templates/1/publish/",
    "/templates/1/delete/",
    "/account/profile/",
    "/account/ssh-keys/",
    "/account/ssh-keys/1/delete/",
    "/account/registry-logins/",
    "/account/registry-logins/1/delete/",
    "/account/api-keys/",
    "/account/api-keys/1/revoke/",
    "/host/machines/1/prices/",
    "/host/machines/1/unlist/",
    "/host/payouts/method/",
    "/host/setup/tokens/",
    "/host/setup/tokens/1/revoke/",
]
PUBLIC = [
    "/",
    "/help/",
    "/templates/",
    "/templates/choose/",
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
]

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", PRIVATE)
def test_private_pages_send_visitors_to_sign_in_and_back(client: Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.headers["Location"]) == (302, f"/accounts/login/?next={path}")


@pytest.mark.parametrize("path", PRIVATE_POSTS)
def test_nothing_is_done_for_visitors(client: Client, path: str) -> None:
    response = client.post(path)
    assert (response.status_code, response.headers["Location"]) == (302, f"/accounts/login/?next={path}")


@pytest.mark.parametrize(
    ("shown", "back"),
    [
        ("http://testserver/instances/?x=1", "/instances/%3Fx%3D1"),
        ("http://testserver/?type=interruptible&gpu=RTX%204090#top", "/%3Ftype%3Dinterruptible%26gpu%3DRTX%25204090"),
        ("http://testserver", "/"),
        ("http://testserver/?q=a\r\nX-Evil: 1", "/%3Fq%3DaX-Evil%3A%201"),
        ("http://testserver//elsewhere.example/?x=1", "/"),
        ("http://testserver/\\elsewhere.example/", "/"),
        ("https://elsewhere.example/instances/", "/instances/"),
        ("http://[", "/"),
        ("", "/"),
    ],
)
def test_a_part_of_a_page_that_needs_a_login_sends_the_whole_browser_there_and_back(
    client: Client, shown: str, back: str
) -> None:
    response = client.get("/instances/cards/", headers=HTMX | {"HX-Current-URL": shown})
    assert response.status_code == 204
    assert response.headers["HX-Redirect"] == f"/accounts/login/?next={back}"


def test_who_signs_in_again_is_back_in_the_search_as_it_was(client: Client) -> None:
    search = "/?type=interruptible&gpu=RTX%204090"
    lost = client.get("/instances/cards/", headers=HTMX | {"HX-Current-URL": f"http://testserver{search}"})
    renter = market.user()
    EmailAddress.objects.create(user=renter, email=renter.email, verified=True, primary=True)
    login = {"login": renter.email, "password": "pass"}
    assert client.post(lost.headers["HX-Redirect"], login).headers["Location"] == search


@pytest.mark.parametrize("path", PUBLIC)
def test_public_pages_open_for_everybody_with_a_strict_policy(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    policy = response.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]


def test_every_page_shows_the_balance_and_it_is_exact_at_any_moment(
    web: Client, renter: User, agent: TestAgent
) -> None:
    assert "$100.00" in text(web.get("/help/"))
    instance_rent(client=renter, offer_id=market.offer(agent, 4).pk, request=market.wish(image="ubuntu:22.04"), now=T0)
    agent.obey(T0)
    with time_machine.travel(T0 + timedelta(minutes=30), tick=False):
        assert text(web.get("/billing/balance/", headers=HTMX)) == "$99.00"
        assert "$99.00" in text(web.get("/"))


def test_visitors_see_no_balance(client: Client) -> None:
    page = client.get("/")
    assert "balance-pill" not in page.content.decode()
    assert "Sign in" in text(page)


def test_the_demo_says_so_on_every_page_and_only_the_demo_does(client: Client) -> None:
    assert "Demo." not in text(client.get("/help/"))
    with override_settings(DEMO=True):
        assert "Demo. GPUs here are simulated and no real money moves" in text(client.get("/help/"))


def test_unknown_pages_have_a_page_of_their_own(client: Client) -> None:
    response = client.get("/nothing/here/")
    assert response.status_code == 404
    assert "Nothing here" in text(response)


@pytest.mark.parametrize("code", ["400", "403", "500"])
def test_error_pages_need_nothing_but_themselves(code: str) -> None:
    assert code in render_to_string(f"{code}.html")


def test_a_form_from_elsewhere_is_refused_in_words(renter: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(renter)
    response = browser.post("/account/profile/", {"full_name": "Eve"})
    assert response.status_code == 403
    assert "Please send that form again" in text(response)
    renter.refresh_from_db()
    assert renter.full_name == ""


def test_a_refusal_on_a_page_becomes_a_message_on_the_page_before(web: Client, renter: User, agent: TestAgent) -> None:
    instance = instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    response = web.post(f"/instances/{instance.pk}/reboot/", headers={"Referer": "http://testserver/instances/"})
    assert response.headers["Location"] == "http://testserver/instances/"
    assert f"Instance {instance.pk} is loading and can't be rebooted now." in text(web.get("/instances/"))


def test_a_refusal_never_leads_to_another_site(web: Client, renter: User, agent: TestAgent) -> None:
    instance = instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    response = web.post(f"/instances/{instance.pk}/reboot/", headers={"Referer": "https://evil.example/x"})
    assert response.headers["Location"] == "/"


def test_a_refusal_in_a_part_of_a_page_becomes_a_toast(web: Client, renter: User, agent: TestAgent) -> None:
    instance = instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    response = web.post(f"/instances/{instance.pk}/reboot/", headers=HTMX)
    assert response.status_code == 409
    assert "can't be rebooted now" in response.headers["HX-Trigger"]


@pytest.mark.parametrize(
    ("path", "section"),
    [
        ("/", "search"),
        ("/offers/3/rent/", "search"),
        ("/instances/7/", "instances"),
        ("/host/setup/", "host"),
        ("/accounts/email/", "account"),
        ("/billing/", "billing"),
        ("/admin/", ""),
    ],
)
def test_the_navigation_knows_where_it_is(path: str, section: str) -> None:
    assert section_of(path) == section
