"""The guest tools as agents are told of them and fetch them, and what containers tell of themselves."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from agent.protocol import ObservedTask
from hosting.domain.secrets import secret_hash
from hosting.models import Machine, Task
from hosting.selectors import desired_state
from marketplace.models import Instance
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db
CONTENT = bytes(range(256)) * 3000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.GUEST_TOOLS_DIR = str(tmp_path)
    (tmp_path / "guest-tools-x86_64.tar.gz").write_bytes(CONTENT)
    return tmp_path


def authorization(agent: TestAgent) -> dict[str, str]:
    Machine.objects.filter(pk=agent.machine.pk).update(credential_hash=secret_hash("credential"))
    return {"Authorization": "Bearer credential"}


def fetch(digest: str, **headers: str) -> Any:
    return Client(headers=headers).get(f"/api/agent/v1/tools/{digest}")


def test_machines_are_told_of_the_tools_for_their_architecture(folder: Path, settings: Settings) -> None:
    agent = market.listed_machine()
    told = desired_state(agent.machine.pk).tools
    assert told is not None
    assert (told.arch, told.digest, told.size_bytes) == ("x86_64", DIGEST, len(CONTENT))
    assert told.url == f"{settings.AGENT_URL}/api/agent/v1/tools/{DIGEST}"
    (folder / "guest-tools-x86_64.tar.gz").write_bytes(b"newer ones")
    newer = desired_state(agent.machine.pk).tools
    assert newer is not None
    assert newer.digest == hashlib.sha256(b"newer ones").hexdigest()
    for arch in ("riscv64", "../x86_64", "", "x86_64/../x86_64"):
        type(agent.machine).objects.filter(pk=agent.machine.pk).update(cpu_arch=arch)
        assert desired_state(agent.machine.pk).tools is None


def test_without_a_bundle_nothing_is_told(settings: Settings, tmp_path: Path) -> None:
    settings.GUEST_TOOLS_DIR = str(tmp_path / "nowhere")
    assert desired_state(market.listed_machine().machine.pk).tools is None


@pytest.mark.usefixtures("folder")
def test_machines_fetch_them_whole_or_from_the_middle() -> None:
    headers = authorization(market.listed_machine())
    whole = fetch(DIGEST, **headers)
    assert (whole.status_code, whole["Content-Length"]) == (200, str(len(CONTENT)))
    assert b"".join(whole.streaming_content) == CONTENT
    rest = fetch(DIGEST, Range="bytes=700000-", **headers)
    assert (rest.status_code, rest["Content-Range"]) == (206, f"bytes 700000-{len(CONTENT) - 1}/{len(CONTENT)}")
    assert b"".join(rest.streaming_content) == CONTENT[700000:]


@pytest.mark.django_db(transaction=True)  # threads of their own look the machine up
@pytest.mark.usefixtures("folder")
def test_the_process_with_an_event_loop_sends_them_too(settings: Settings) -> None:
    settings.SYNC_HOLD_MAX_SECONDS = 5
    response = fetch(DIGEST, **authorization(market.listed_machine()))

    async def content() -> bytes:
        return b"".join([chunk async for chunk in response.streaming_content])

    assert asyncio.run(content()) == CONTENT


@pytest.mark.usefixtures("folder")
def test_nobody_else_gets_them() -> None:
    assert fetch(DIGEST).status_code == 401
    assert fetch(DIGEST, Authorization="Bearer wrong").json()["error"] == "credential_revoked"
    refused = fetch("0" * 64, **authorization(market.listed_machine()))
    assert (refused.status_code, refused.json()["error"]) == (404, "no_such_tools")


def rented(agent: TestAgent) -> Instance:
    return instance_rent(client=market.user(dollars=10), offer_id=market.offer(agent).pk, request=market.wish(), now=T0)


def report(agent: TestAgent, instance: Instance, run: int = 1, **told: Any) -> Task:
    agent.report(T0, ObservedTask(task_id=instance.task_id, phase="running", run_generation=run, age_seconds=0, **told))
    return Task.objects.get(pk=instance.task_id)


def test_what_a_container_tells_of_itself_is_kept() -> None:
    agent = market.listed_machine()
    instance = rented(agent)
    key = f"ssh-ed25519 SHA256:{'a' * 43}"
    task = report(agent, instance, host_keys=[key], onstart_exit_code=2, onstart_output="why\n\x1b[31m")
    assert (task.host_keys, task.onstart_exit_code, task.onstart_output) == ([key], 2, "why\n[31m")
    task = report(agent, instance)
    assert (task.host_keys, task.onstart_exit_code, task.onstart_output) == ([key], None, "")


@pytest.mark.parametrize(
    "odd",
    [["<script>alert(1)</script>"], ["ssh-ed25519 SHA256:short"], ["x" * 9999], [f"a SHA256:{'b' * 43}\n"], [""]],
)
def test_what_is_no_fingerprint_is_not_kept(odd: list[str]) -> None:
    agent = market.listed_machine()
    assert report(agent, rented(agent), host_keys=odd, onstart_exit_code=10**9).host_keys == []
    assert Task.objects.get().onstart_exit_code is None


def test_there_are_only_so_many_fingerprints() -> None:
    agent = market.listed_machine()
    keys = [f"ssh-ed25519 SHA256:{number:043}" for number in range(100)]
    assert report(agent, rented(agent), host_keys=keys).host_keys == keys[:8]
