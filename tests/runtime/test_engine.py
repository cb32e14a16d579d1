"""Which Docker engine is used, when one is started, and when it is ended. `docker` and `dockerd` are stand-ins."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scripts import engine
from scripts.services.launching import ServiceError

DOCKER = """#!/bin/sh
[ -e {here}/engine-answers ]
"""
DOCKERD = """#!/bin/sh
echo started >> {here}/dockerd-starts
touch {here}/engine-answers
exec sleep 600
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine of root's on which Docker is installed and no engine runs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("docker", DOCKER), ("dockerd", DOCKERD)):
        (programs / name).write_text(text.format(here=tmp_path))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(engine, "STATE", tmp_path / "state")
    monkeypatch.setattr(engine, "ENGINE_PID_FILE", tmp_path / "docker.pid")
    monkeypatch.setattr(engine, "SYSTEMD", tmp_path / "no-systemd")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    yield tmp_path
    for process in psutil.Process().children():
        if process.name() == "sleep":
            process.kill()


def starts(machine: Path) -> int:
    path = machine / "dockerd-starts"
    return len(path.read_text().splitlines()) if path.exists() else 0


def ours(machine: Path) -> psutil.Process:
    return psutil.Process(int((machine / "state" / "engine").read_text().split()[0]))


def test_an_engine_that_answers_is_used_and_left_alone(machine: Path) -> None:
    (machine / "engine-answers").touch()

    assert engine.ensure("demo", holder_pid=os.getpid()) == "using the Docker engine that runs here"
    engine.release("demo")

    assert starts(machine) == 0


def test_the_last_holder_ends_the_engine_that_was_started(machine: Path) -> None:
    assert engine.ensure("demo", holder_pid=os.getpid()) == "started a Docker engine"
    assert engine.ensure("tests", holder_pid=os.getpid()) == "using the Docker engine started before"
    process = ours(machine)

    engine.release("demo")
    assert process.is_running()
    engine.release("tests")

    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert starts(machine) == 1


def test_a_holder_that_was_killed_holds_nothing(machine: Path) -> None:
    killed = subprocess.Popen(["sleep", "600"])
    engine.ensure("killed", holder_pid=killed.pid)
    engine.ensure("demo", holder_pid=os.getpid())
    process = ours(machine)
    killed.kill()
    killed.wait()

    engine.release("demo")

    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_no_second_engine_beside_one_that_does_not_answer_yet(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = subprocess.Popen(["sleep", "600"])
    (machine / "docker.pid").write_text(str(slow.pid))
    monkeypatch.setattr(engine, "ENGINE_NAME", "sleep")
    monkeypatch.setattr(engine, "START_TIMEOUT_SECONDS", 0)

    with pytest.raises(ServiceError, match="does not answer"):
        engine.ensure("demo", holder_pid=os.getpid())

    assert starts(machine) == 0
    slow.kill()
    slow.wait()


def test_an_engine_that_gives_up_is_reported_with_its_log(machine: Path) -> None:
    (machine / "bin" / "dockerd").write_text("#!/bin/sh\necho no iptables here >&2\nexit 3\n")

    with pytest.raises(ServiceError, match=r"(?s)code 3.*no iptables here"):
        engine.ensure("demo", holder_pid=os.getpid())


def test_others_than_root_are_told_what_to_do(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(ServiceError, match="only root may start one"):
        engine.ensure("demo", holder_pid=os.getpid())

    assert starts(machine) == 0


def test_a_named_engine_that_is_away_is_not_replaced(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2375")

    with pytest.raises(ServiceError, match=r"DOCKER_HOST=tcp://10\.0\.0\.1:2375"):
        engine.ensure("demo", holder_pid=os.getpid())

    assert starts(machine) == 0
