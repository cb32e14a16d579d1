"""The Docker daemon restarted and killed under a running agent: containers, data and runs are right after each."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import psutil
import pytest

from tests.agent.fakes import changed
from tests.agent.host import Host
from tests.plumbing.own_engine import OwnEngine

pytestmark = pytest.mark.engine


COUNT_RUNS = "echo run >>/root/runs\n"


@pytest.fixture
def config() -> dict[str, Any]:
    return {}


@pytest.fixture
def socket_is_kept() -> bool:
    return False


@pytest.fixture
def own(engine: docker.DockerClient, config: dict[str, Any], socket_is_kept: bool) -> Iterator[OwnEngine]:
    engine.ping()  # where there is none, none can be started either
    with OwnEngine(config, socket_is_kept=socket_is_kept) as made:
        yield made


@pytest.fixture
def host(tmp_path: Path, own: OwnEngine) -> Iterator[Host]:
    client = own.client()
    with Host(tmp_path, client, own.network) as made:
        made.environment = {"DOCKER_HOST": own.address}
        yield made
    client.close()


def await_engine(host: Host, *, gone: bool) -> None:
    host.market.await_that(lambda: (host.market.syncs[-1].engine_error is not None) == gone)


@pytest.mark.parametrize("socket_is_kept", [False, True])
@pytest.mark.parametrize("how", [OwnEngine.stop, OwnEngine.kill])
def test_it_is_told_and_the_next_run_finds_its_data(
    host: Host, own: OwnEngine, how: Callable[[OwnEngine], None]
) -> None:
    wish = host.task(onstart=COUNT_RUNS)
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running", 1)
    before = host.container().id
    assert host.ssh(wish, "echo kept >/root/file").returncode == 0
    how(own)
    await_engine(host, gone=True)
    told = host.market.observed(1)
    assert told is not None
    assert told.phase == "running", "what is not seen to have ended has not"

    own.start()
    told = host.market.await_phase(1, "exited", 1)
    assert told.reason == "engine_down", "so the marketplace asks for the next run by itself"
    again = changed(wish, run_generation=2)
    host.market.desire(again)
    host.market.await_phase(1, "running", 2)
    assert host.ssh(again, "cat /root/file /root/runs").stdout.split() == ["kept", "run", "run"]
    assert host.container().id == before
    assert host.market.phases(1)[-2:] == [("starting", 2), ("running", 2)]


@pytest.mark.parametrize("config", [{"live-restore": True}])
def test_an_engine_that_leaves_containers_alone_disturbs_nobody(host: Host, own: OwnEngine) -> None:
    wish = host.task(onstart=COUNT_RUNS)
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running", 1)
    pid = host.container().attrs["State"]["Pid"]
    own.stop()
    await_engine(host, gone=True)
    assert psutil.pid_exists(pid)
    own.start()
    await_engine(host, gone=False)
    assert host.container().attrs["State"]["Pid"] == pid
    assert host.ssh(wish, "cat /root/runs").stdout == "run\n"
    assert {phase for phase, _ in host.market.phases(1)} <= {"pulling", "creating", "starting", "running"}
    host.market.desire(changed(wish, state="removed"))
    host.market.await_phase(1, "removed")
