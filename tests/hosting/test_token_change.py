"""An install token takes another secret: what stood on a command line is worth nothing any more."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from agent.installer import tokens
from agent.protocol import encode
from agent.register_protocol import TOKEN_PATH, TokenChange
from hosting.errors import HostingError
from hosting.models import InstallToken
from hosting.services.install_tokens import LIFETIME, install_token_change, install_token_create, install_token_revoke
from hosting.services.registration import machine_register
from marketplace.models import User
from tests.hosting.test_registration import request
from tests.plumbing import market
from tests.plumbing.market import T0

pytestmark = pytest.mark.django_db
NEW = "syi_" + "n" * 43
OTHER = "syi_" + "o" * 43


@pytest.fixture
def host() -> User:
    return market.user()


@pytest.fixture
def token(host: User) -> str:
    return install_token_create(host=host, now=T0)[1]


def refusal(raw: str, replacement: str = NEW, *, at: timedelta = timedelta(0)) -> str:
    with pytest.raises(HostingError) as caught:
        install_token_change(raw=raw, replacement=replacement, now=T0 + at)
    return caught.value.code


def test_only_the_replacement_registers_a_machine(token: str) -> None:
    before = InstallToken.objects.get()
    install_token_change(raw=token, replacement=NEW, now=T0)
    install_token_change(raw=token, replacement=NEW, now=T0)  # the first answer was lost
    with pytest.raises(HostingError, match="not valid"):
        machine_register(request=request(token), remote_address="192.0.2.1", now=T0)
    assert refusal(token, OTHER) == "bad_token"
    machine, _ = machine_register(request=request(NEW), remote_address="192.0.2.1", now=T0)
    after = InstallToken.objects.get()
    assert (after.pk, after.machine, after.prefix, after.expires_at) == (
        before.pk,
        machine,
        before.prefix,
        before.expires_at,
    )


def test_what_can_t_register_a_machine_takes_no_other_secret(host: User, token: str) -> None:
    assert refusal("syi_unknown") == "bad_token"
    assert refusal(token, at=LIFETIME) == "token_expired"
    for weak in ("", "short", "syi_short", NEW[1:], NEW + "\n", "syi_" + "ü" * 43, "syi_" + "n" * 90):
        assert refusal(token, weak) == "bad_replacement"
    machine_register(request=request(token), remote_address="192.0.2.1", now=T0)
    assert refusal(token) == "token_used"
    _, revoked = install_token_create(host=host, now=T0)
    install_token_revoke(host=host, token_id=InstallToken.objects.latest("pk").pk, now=T0)
    assert refusal(revoked) == "bad_token"


def test_a_token_takes_no_secret_of_another(host: User, token: str) -> None:
    _, second = install_token_create(host=host, now=T0)
    install_token_change(raw=token, replacement=second, now=T0)
    assert InstallToken.objects.count() == 2
    machine_register(request=request(token), remote_address="192.0.2.1", now=T0)


def test_what_the_installer_makes_up_has_the_form_that_is_wanted() -> None:
    assert {refusal("syi_unknown", tokens.new_secret()) for _ in range(20)} == {"bad_token"}


def test_over_http(host: User) -> None:
    _, token = install_token_create(host=host, now=timezone.now())
    body = encode(TokenChange(token=token, replacement=NEW))
    answer: Any = Client().post(TOKEN_PATH, body, content_type="application/json")
    assert (answer.status_code, answer.json()) == (200, {})
    answer = Client().post(
        TOKEN_PATH, json.dumps({"token": token, "replacement": OTHER}), content_type="application/json"
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "bad_token")
    assert Client().get(TOKEN_PATH).status_code == 405
