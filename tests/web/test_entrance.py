"""Signing up, confirming, signing in, resetting: the way in."""

import os
import re
import subprocess
import sys

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from pytest_django.fixtures import Settings

from marketplace.models import User
from tests.web.pages import field_errors, text

pytestmark = pytest.mark.django_db

PASSWORD = "a-long-enough-phrase"
SIGNUP = {"email": "new@example.com", "password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture(autouse=True)
def _no_rate_limits(settings: Settings) -> None:
    """The clock stands still, so that all these visits seem to come within one second."""
    settings.ACCOUNT_RATE_LIMITS = False


def link_in_mail() -> str:
    found = re.search(r"https?://[^/\s]+(/\S+)", str(mail.outbox[-1].body))
    assert found is not None
    return found[1]


def test_sign_up_confirm_and_sign_in(client: Client) -> None:
    assert client.post("/accounts/signup/", SIGNUP).status_code == 302
    assert "Check your mail" in text(client.get("/accounts/confirm-email/"))
    login = {"login": "new@example.com", "password": PASSWORD}
    assert client.post("/accounts/login/", login).headers["Location"] == "/accounts/confirm-email/"
    link = link_in_mail()
    assert "Is new@example.com your e-mail address?" in text(client.get(link))
    client.post(link)
    client.logout()
    assert client.post("/accounts/login/", login).headers["Location"] == "/"
    assert "new@example.com" in text(client.get("/account/"))


def test_the_mail_is_ours_and_names_the_service(client: Client) -> None:
    client.post("/accounts/signup/", SIGNUP)
    assert mail.outbox[0].subject == "[Spotyard] Please Confirm Your Email Address"
    assert "gave this address for an account at Spotyard" in mail.outbox[0].body


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("email", "nonsense", "Enter a valid email address."),
        ("email", "", "This field is required."),
        ("password1", "short", "too short"),
        ("password2", "something-else-1", "same password"),
    ],
)
def test_sign_up_errors_stand_beside_their_field(client: Client, field: str, value: str, message: str) -> None:
    response = client.post("/accounts/signup/", SIGNUP | {field: value})
    assert message in field_errors(response, field)
    assert not User.objects.filter(email="new@example.com").exists()


def test_a_wrong_password_is_refused(client: Client, renter: User) -> None:
    response = client.post("/accounts/login/", {"login": renter.email, "password": "wrong"})
    assert "are not correct" in text(response)


def test_reset_the_password_by_mail(client: Client, renter: User) -> None:
    EmailAddress.objects.create(user=renter, email=renter.email, verified=True, primary=True)
    client.post("/accounts/password/reset/", {"email": renter.email})
    assert "Check your mail" in text(client.get("/accounts/password/reset/done/"))
    form = client.get(link_in_mail(), follow=True)
    assert "Choose a new password" in text(form)
    client.post(form.redirect_chain[-1][0], {"password1": PASSWORD, "password2": PASSWORD})
    renter.refresh_from_db()
    assert renter.check_password(PASSWORD)


def test_a_used_reset_link_says_so(client: Client) -> None:
    assert "This link no longer works" in text(client.get("/accounts/password/reset/key/1-set-password/"))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/accounts/password/change/", "Change password"),
        ("/accounts/email/", "E-mail addresses"),
        ("/accounts/2fa/", "Two-Factor Authentication"),
        ("/accounts/logout/", "Sign out?"),
    ],
)
def test_pages_of_the_account_open(web: Client, path: str, words: str) -> None:
    assert words in text(web.get(path, follow=True))


def test_sign_out(web: Client) -> None:
    assert web.post("/accounts/logout/").headers["Location"] == "/"
    assert web.get("/account/").status_code == 302


@pytest.mark.parametrize("count", ["0", "2"])
def test_sign_in_limits_count_the_addresses_that_the_proxies_tell(count: str) -> None:
    """Otherwise everybody behind the proxy is one address, and one guesser locks all others out."""
    ask = "from allauth import app_settings; print(app_settings.TRUSTED_PROXY_COUNT)"
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "marketplace.settings",
        "SECRET_KEY": "x",
        "FIELD_ENCRYPTION_KEYS": "b25seS1mb3ItbWFrZS1jaGVjay1uZXZlci11c2VkLTA=",
        "TRUSTED_PROXY_COUNT": count,
    }
    told = subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == count
