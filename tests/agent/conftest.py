"""Fixtures of the agent's tests."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.agent.host import Host
from tests.plumbing.own_engine import OwnEngine

Fake = Callable[[str, str], None]


@pytest.fixture
def host(tmp_path: Path, engine: docker.DockerClient) -> Iterator[Host]:
    """A host on the real engine whose agent has not been started yet."""
    with Host(tmp_path, engine) as made:
        yield made


@pytest.fixture
def engine_config() -> dict[str, Any]:
    """daemon.json of ``own_engine``; tests parametrize it."""
    return {}


@pytest.fixture
def socket_is_kept() -> bool:
    """Whether the socket of ``own_engine`` outlives it; tests parametrize it."""
    return False


@pytest.fixture
def own_engine(engine: docker.DockerClient, engine_config: dict[str, Any], socket_is_kept: bool) -> Iterator[OwnEngine]:
    """A second engine, for tests that configure, end or kill it."""
    engine.ping()  # where there is none, none can be started either
    with OwnEngine(engine_config, socket_is_kept=socket_is_kept) as made:
        yield made


@pytest.fixture
def own_host(tmp_path: Path, own_engine: OwnEngine) -> Iterator[Host]:
    """A host on it."""
    client = own_engine.client()
    with Host(tmp_path, client, own_engine.network) as made:
        made.environment = {"DOCKER_HOST": own_engine.address}
        yield made
    client.close()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a program with this shell script into PATH, in which there is nothing else but the shell's own tools."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "cat", "stat"):
        found = subprocess.run(["sh", "-c", f"command -v {tool}"], capture_output=True, text=True, check=True)
        (folder / tool).symlink_to(found.stdout.strip())
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return make
