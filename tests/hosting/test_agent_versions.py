"""Which agents are spoken with, which version machines are told of, and what becomes of one that failed."""

import gzip
import hashlib
import io
import json
import tarfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from agent.protocol import PROTOCOL_VERSION, UpdateFailure
from hosting import agent_releases
from hosting.domain.agent_versions import is_offered, verdict
from hosting.gateways.agent_bundle import TOP, current_bundle, make_bundle
from hosting.installer import install_script, rendered
from hosting.models import AgentRollout, Machine, MachineEvent
from hosting.selectors import desired_state
from hosting.services.agent_versions import agent_rollout_set
from marketplace.models import User
from tests.plumbing import market
from tests.plumbing.market import T0

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(
    ("told", "current", "found"),
    [(1, 1, "spoken"), (2, 1, "too_new"), (0, 1, "too_old"), (3, 4, "spoken"), (4, 4, "spoken"), (2, 4, "too_old")],
)
def test_the_present_protocol_and_the_one_before_are_spoken(told: int, current: int, found: str) -> None:
    assert verdict(told, current) == found


@given(st.integers(1, 10**9), st.text(min_size=1, max_size=20), st.integers(0, 100), st.integers(0, 100))
def test_who_is_told_early_is_told_later_too(machine_id: int, version: str, some: int, more: int) -> None:
    low, high = sorted((some, more))
    assert is_offered(machine_id, version, low, paused=False) <= is_offered(machine_id, version, high, paused=False)
    assert is_offered(machine_id, version, 100, paused=False)
    assert not is_offered(machine_id, version, 0, paused=False)
    assert not is_offered(machine_id, version, 100, paused=True)


def test_a_share_of_the_machines_is_about_that_share() -> None:
    told = sum(is_offered(machine_id, "0.1.0+3f2a91c0", 10, paused=False) for machine_id in range(1, 2001))
    assert 140 < told < 260


def copy_of_agent(directory: Path) -> Path:
    for name in (
        "agent/__init__.py",
        "agent/guest/start.sh",
        "dlperf/workload/run.py",
        "dlperf/__init__.py",
        "LICENSE",
    ):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes((ROOT / name).read_bytes())
    return directory


def test_a_bundle_is_the_same_for_the_same_files_and_another_for_others(tmp_path: Path) -> None:
    first = make_bundle(copy_of_agent(tmp_path / "a"))
    second = copy_of_agent(tmp_path / "b")
    (second / "agent/__pycache__").mkdir()
    (second / "agent/__pycache__/x.pyc").write_bytes(b"x")
    assert make_bundle(second) == first
    (second / "agent/guest/start.sh").write_text("changed")
    changed = make_bundle(second)
    assert changed.version != first.version
    assert changed.version.startswith("0.1.0+")
    (second / "agent/guest/start.sh").write_bytes((ROOT / "agent/guest/start.sh").read_bytes())
    (second / "agent/guest/start.sh").chmod(0o755)
    assert make_bundle(second).digest != first.digest


def test_the_bundle_of_this_checkout_has_what_a_host_needs() -> None:
    bundle = current_bundle()
    with tarfile.open(fileobj=io.BytesIO(bundle.content)) as archive:
        entries = {member.name: member for member in archive}
        told = archive.extractfile(f"{TOP}/agent/build.txt")
        assert told is not None
        assert told.read().decode().strip() == bundle.version
    for name in ("agent/__main__.py", "agent/requirements.lock", "agent/installer/launch.py", "agent/guest/start.sh"):
        assert f"{TOP}/{name}" in entries
    assert f"{TOP}/dlperf/workload/run.py" in entries
    assert all((entry.mtime, entry.uid, entry.uname) == (0, 0, "") for entry in entries.values())
    assert bundle.content[4:8] == bytes(4), "no time in gzip's header"
    assert gzip.decompress(bundle.content)


def test_the_lock_holds_what_is_asked_for() -> None:
    locked = (ROOT / "agent/requirements.lock").read_text()
    for line in (ROOT / "agent/requirements.txt").read_text().split():
        assert f"{line} \\\n    --hash=sha256:" in locked


@pytest.mark.django_db
def test_anybody_may_fetch_the_bundle_and_the_script_names_it() -> None:
    client, bundle = Client(), current_bundle()
    fetched = client.get(f"/api/agent/v1/bundle/{bundle.digest}")
    assert (fetched.status_code, hashlib.sha256(fetched.content).hexdigest()) == (200, bundle.digest)
    other = client.get(f"/api/agent/v1/bundle/{'0' * 64}")
    assert (other.status_code, other.json()["error"]) == (404, "no_such_bundle")
    script = client.get("/install.sh")
    assert script["Content-Type"] == "text/plain; charset=utf-8"
    assert bundle.digest in script.content.decode()
    assert "@" not in script.content.decode().split("set -euo pipefail")[1].split("fail()")[0]
    digest = client.get("/install.sh.sha256").content.decode()
    assert digest == f"{hashlib.sha256(script.content).hexdigest()}  install.sh\n"


def test_an_address_can_t_leave_its_quotes() -> None:
    with pytest.raises(ValueError, match="can't be written"):
        rendered("https://x'; rm -rf /; '", current_bundle())
    assert install_script().text.startswith("#!/usr/bin/env bash\n")


@pytest.mark.django_db
def test_machines_are_told_as_staff_decide(settings: Settings) -> None:
    agent = market.listed_machine()
    release = desired_state(agent.machine.pk).agent
    assert release is not None
    assert release.version == current_bundle().version
    assert release.url == f"{settings.AGENT_URL}/api/agent/v1/bundle/{release.digest}"
    agent_rollout_set(percent=100, paused=True)
    assert desired_state(agent.machine.pk).agent is None
    agent_rollout_set(percent=0, paused=False)
    assert desired_state(agent.machine.pk).agent is None


@pytest.mark.django_db
def test_versions_and_their_failures_are_noted_once() -> None:
    agent = market.listed_machine()
    failure = UpdateFailure(version="0.1.0+bad", why="it ended 3 times")
    agent.report(T0 + timedelta(seconds=1), agent_version="0.1.0+a")
    agent.report(T0 + timedelta(seconds=2), agent_version="0.1.0+a", update_failure=failure)
    agent.report(T0 + timedelta(seconds=3), agent_version="0.1.0+a", update_failure=failure, engine_error="away")
    machine = Machine.objects.get(pk=agent.machine.pk)
    assert (machine.agent_version, machine.agent_failed_version) == ("0.1.0+a", "0.1.0+bad")
    (event,) = MachineEvent.objects.filter(machine=machine, kind="agent_update_failed")
    assert event.message == "0.1.0+bad was given up: it ended 3 times"
    agent.report(T0 + timedelta(seconds=4), agent_version="0.1.0+b")
    machine.refresh_from_db()
    assert (machine.agent_version, machine.agent_failed_version) == ("0.1.0+b", "")
    told = MachineEvent.objects.filter(machine=machine, kind="agent_version").latest("pk").message
    assert told == "0.1.0+a became 0.1.0+b"


@pytest.mark.django_db
def test_an_agent_that_is_too_old_is_told_what_to_become(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(agent_releases, "PROTOCOL_VERSION", PROTOCOL_VERSION + 2)
    answer: Any = Client().post(
        "/api/agent/v1/register", json.dumps({"protocol": PROTOCOL_VERSION}), content_type="application/json"
    )
    refusal = answer.json()
    assert (answer.status_code, refusal["error"]) == (426, "unsupported_protocol")
    assert f"run {settings.SITE_URL}/install.sh on the machine again" in refusal["msg"]
    assert refusal["agent"]["version"] == current_bundle().version
    monkeypatch.setattr(agent_releases, "PROTOCOL_VERSION", PROTOCOL_VERSION + 1)
    answer = Client().post(
        "/api/agent/v1/register", json.dumps({"protocol": PROTOCOL_VERSION}), content_type="application/json"
    )
    assert answer.json()["error"] == "invalid_message"


@pytest.mark.django_db
def test_an_agent_of_a_later_marketplace_is_told_so() -> None:
    answer: Any = Client().post(
        "/api/agent/v1/register", json.dumps({"protocol": PROTOCOL_VERSION + 1}), content_type="application/json"
    )
    assert "newer than the marketplace" in answer.json()["msg"]


@pytest.mark.django_db
def test_staff_decide_in_the_admin(client: Client) -> None:
    client.force_login(User.objects.create_superuser("staff@example.com", "pass"))
    market.listed_machine().report(T0 + timedelta(seconds=1), agent_version="0.1.0+a")
    pages = reverse("admin:hosting_agentrollout_changelist"), reverse("admin:hosting_agentrollout_add")
    assert client.post(pages[1], {"percent": "101"}).status_code == 200, "more than all there are is not taken"
    assert not AgentRollout.objects.exists()
    assert client.post(pages[1], {"percent": "30"}).status_code == 302
    assert client.get(pages[1]).status_code == 403, "there is one row"
    told = client.get(pages[0]).content.decode()
    assert current_bundle().version in told
    assert "0.1.0+a: 1" in told
    page = reverse("admin:hosting_agentrollout_change", args=[AgentRollout.ONLY])
    assert "0.1.0+a: 1" in client.get(page).content.decode()
    assert client.post(page, {"percent": "50", "paused": "on"}).status_code == 302
    rollout = AgentRollout.objects.get()
    assert (rollout.percent, rollout.paused) == (50, True)
