"""The agents' endpoints, as they meet messages that no agent of ours would send."""

import json
from typing import Any

import pytest
from django.test import Client

from agent.protocol import PROTOCOL_VERSION
from hosting.api.sizes import MOST_MESSAGE_BYTES
from hosting.domain.secrets import secret_hash
from hosting.models import Machine
from tests.plumbing import market

pytestmark = pytest.mark.django_db

SYNC = "/api/agent/v1/sync"
REGISTER = "/api/agent/v1/register"
CREDENTIAL = "sym_test"


@pytest.fixture(autouse=True)
def _machine() -> None:
    agent = market.listed_machine()
    Machine.objects.filter(pk=agent.machine.pk).update(credential_hash=secret_hash(CREDENTIAL))


def post(path: str, body: str, credential: str = CREDENTIAL) -> Any:
    headers = {"Authorization": f"Bearer {credential}"}
    answer: Any = Client().post(path, body, content_type="application/json", headers=headers)
    return answer.status_code, json.loads(answer.content).get("error")


DEEP = "[" * 100_000


def test_without_a_credential_nothing_is_parsed() -> None:
    assert post(SYNC, "{", credential="sym_wrong") == (401, "credential_revoked")
    assert post(SYNC, DEEP, credential="") == (401, "credential_revoked")


@pytest.mark.parametrize("path", [SYNC, REGISTER])
def test_nonsense_is_refused_clearly(path: str) -> None:
    assert post(path, "{") == (400, "invalid_json")
    assert post(path, DEEP) == (400, "invalid_json")
    assert post(path, json.dumps({"protocol": PROTOCOL_VERSION})) == (400, "invalid_message")
    assert post(path, json.dumps({"protocol": 99})) == (426, "unsupported_protocol")


@pytest.mark.parametrize("path", [SYNC, REGISTER])
def test_a_message_has_a_greatest_length(path: str) -> None:
    assert post(path, " " * (MOST_MESSAGE_BYTES + 1)) == (413, "too_large")
