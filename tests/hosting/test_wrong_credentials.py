"""Strangers try credentials and tokens: a few a minute and network, and who shows a right one never notices."""

import json
import os
import subprocess
import sys
import uuid
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from hosting.api.strangers import KNOWN, MOST_KNOWN, _Known
from hosting.domain.addresses import network_of
from hosting.domain.secrets import INSTALL_TOKEN_PREFIX, secret_hash
from hosting.gateways.wrong_credentials import wrong_credential_count
from hosting.models import Machine
from tests.plumbing import market

pytestmark = pytest.mark.django_db

SYNC = "/api/agent/v1/sync"
OURS, OTHER = "198.51.100.7", "198.51.100.8"
CREDENTIAL = "sym_right"
MOST = 3
TOKEN = json.dumps({"token": "wrong", "replacement": f"{INSTALL_TOKEN_PREFIX}{'a' * 43}"})


@pytest.fixture(autouse=True)
def _machine(settings: Settings) -> None:
    """A machine, in a Redis that nothing else counts in, and a low limit."""
    settings.AGENT_WRONG_CREDENTIALS_PER_MINUTE = MOST
    settings.CACHES = {"default": {**settings.CACHES["default"], "KEY_PREFIX": uuid.uuid4().hex}}
    agent = market.listed_machine()
    Machine.objects.filter(pk=agent.machine.pk).update(credential_hash=secret_hash(CREDENTIAL))


def post(path: str = SYNC, credential: str = "sym_wrong", *, body: str = "{", address: str = OURS) -> Any:
    headers = {"Authorization": f"Bearer {credential}"}
    client = Client(REMOTE_ADDR=address)
    return client.post(path, body, content_type="application/json", headers=headers)


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, json.loads(answer.content)["error"]


REFUSED = (429, "too_many_requests")
LET_IN = (400, "invalid_json")
"""What was sent is read, so who sent it was let in."""


def exhaust(address: str = OURS) -> None:
    for number in range(MOST):
        assert error(post(credential=f"sym_{number}", address=address)) == (401, "credential_revoked")


def test_after_some_wrong_ones_a_network_is_told_to_wait() -> None:
    exhaust()
    answer = post()
    assert error(answer) == REFUSED
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert error(post(address=OTHER)) == (401, "credential_revoked")


def test_a_right_one_from_the_same_address_is_let_in() -> None:
    """Also where this process has not seen it before; and as often as it likes."""
    exhaust()
    KNOWN.drop(secret_hash(CREDENTIAL))
    for _ in range(2 * MOST):
        assert error(post(credential=CREDENTIAL)) == LET_IN
    assert error(post()) == REFUSED


def test_right_ones_do_not_count() -> None:
    for _ in range(2 * MOST):
        assert error(post(credential=CREDENTIAL)) == LET_IN
    exhaust()


def test_one_that_was_revoked_is_noticed_at_once() -> None:
    assert error(post(credential=CREDENTIAL)) == LET_IN
    Machine.objects.update(credential_hash=secret_hash("another"))
    assert error(post(credential=CREDENTIAL)) == (401, "credential_revoked")
    assert secret_hash(CREDENTIAL) not in KNOWN


def test_all_endpoints_count_together() -> None:
    first = post("/api/agent/v1/telemetry"), post("/api/agent/v1/jobs/1/output?offset=0")
    assert [error(answer) for answer in first] == [(401, "credential_revoked")] * 2
    assert error(post("/api/agent/v1/token", body=TOKEN)) == (401, "bad_token")
    for path in (SYNC, "/api/agent/v1/telemetry", "/api/agent/v1/tasks/1/log"):
        assert error(post(path)) == REFUSED
    assert error(post("/api/agent/v1/token", body=TOKEN)) == REFUSED
    assert error(Client(REMOTE_ADDR=OURS).get(f"/api/agent/v1/tools/{'0' * 64}")) == REFUSED


def test_a_network_of_ipv6_counts_together() -> None:
    exhaust("2001:db8:1:2::1")
    assert error(post(address="2001:db8:1:2:ffff::9")) == REFUSED
    assert error(post(address="2001:db8:1:3::1")) == (401, "credential_revoked")


def test_other_processes_have_the_same_count(settings: Settings) -> None:
    code = "import django; django.setup()\nfrom hosting.gateways.wrong_credentials import wrong_credential_count as c\n"
    network, prefix = uuid.uuid4().hex, settings.CACHES["default"]["KEY_PREFIX"]
    code += f"from django.core.cache import cache; cache.key_prefix = {prefix!r}\n"
    code += f"print(c({network!r}), c({network!r}))"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "marketplace.settings"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0"]
    assert [wrong_credential_count(network) > 0 for _ in range(2)] == [False, True]


def test_without_redis_nobody_is_refused(settings: Settings) -> None:
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1"}}
    exhaust()
    exhaust()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8::5", "2001:db8::/64"),
        ("2001:db8:0:0:8000::", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unknown", "unknown"),
    ],
)
def test_networks(address: str, network: str) -> None:
    assert network_of(address) == network


def test_only_the_latest_are_remembered() -> None:
    known = _Known()
    for number in range(MOST_KNOWN):
        known.add(str(number))
    assert "0" in known
    known.add("one more")
    assert "0" in known
    assert "1" not in known
