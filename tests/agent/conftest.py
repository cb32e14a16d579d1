"""Fixtures of the agent's tests."""

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.agent.host import Host


@pytest.fixture
def host(tmp_path: Path, engine: docker.DockerClient) -> Iterator[Host]:
    """A host on the real engine whose agent has not been started yet."""
    with Host(tmp_path, engine) as made:
        yield made
