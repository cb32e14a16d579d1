"""The Docker daemon restarted and killed under a running agent: containers, data and runs are right after each."""

from collections.abc import Callable

import psutil
import pytest

from tests.agent.fakes import changed
from tests.agent.host import Host
from tests.plumbing.own_engine import OwnEngine

pytestmark = pytest.mark.engine


COUNT_RUNS = "echo run >>/root/runs\n"


def await_engine(host: Host, *, gone: bool) -> None:
    host.market.await_that(lambda: (host.market.syncs[-1].engine_error is not None) == gone)


@pytest.mark.parametrize("socket_is_kept", [False, True])
@pytest.mark.parametrize("how", [OwnEngine.stop, OwnEngine.kill])
def test_it_is_told_and_the_next_run_finds_its_data(
    own_host: Host, own_engine: OwnEngine, how: Callable[[OwnEngine], None]
) -> None:
    wish = own_host.task(onstart=COUNT_RUNS)
    own_host.start()
    own_host.market.desire(wish)
    own_host.market.await_phase(1, "running", 1)
    before = own_host.container().id
    assert own_host.ssh(wish, "echo kept >/root/file").returncode == 0
    how(own_engine)
    await_engine(own_host, gone=True)
    told = own_host.market.observed(1)
    assert told is not None
    assert told.phase == "running", "what is not seen to have ended has not"

    own_engine.start()
    told = own_host.market.await_phase(1, "exited", 1)
    assert told.reason == "engine_down", "so the marketplace asks for the next run by itself"
    again = changed(wish, run_generation=2)
    own_host.market.desire(again)
    own_host.market.await_phase(1, "running", 2)
    assert own_host.ssh(again, "cat /root/file /root/runs").stdout.split() == ["kept", "run", "run"]
    assert own_host.container().id == before
    assert own_host.market.phases(1)[-2:] == [("starting", 2), ("running", 2)]


@pytest.mark.parametrize("engine_config", [{"live-restore": True}])
def test_an_engine_that_leaves_containers_alone_disturbs_nobody(own_host: Host, own_engine: OwnEngine) -> None:
    wish = own_host.task(onstart=COUNT_RUNS)
    own_host.start()
    own_host.market.desire(wish)
    own_host.market.await_phase(1, "running", 1)
    pid = own_host.container().attrs["State"]["Pid"]
    own_engine.stop()
    await_engine(own_host, gone=True)
    assert psutil.pid_exists(pid)
    own_engine.start()
    await_engine(own_host, gone=False)
    assert own_host.container().attrs["State"]["Pid"] == pid
    assert own_host.ssh(wish, "cat /root/runs").stdout == "run\n"
    assert {phase for phase, _ in own_host.market.phases(1)} <= {"pulling", "creating", "starting", "running"}
    own_host.market.desire(changed(wish, state="removed"))
    own_host.market.await_phase(1, "removed")
