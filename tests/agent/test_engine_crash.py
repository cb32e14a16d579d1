"""The agent killed with -9 at each step on the real engine, and started again: each run happened exactly once."""

import pytest

from agent.engine.labels import GPUS_LABEL
from tests.agent.fakes import changed
from tests.agent.host import Host, volumes_of

pytestmark = pytest.mark.engine

COUNT_RUNS = "echo run >>/root/runs\n"
START_POINTS = ["creating", "created", "files_put", "intent_saved", "started"]
MOVE_POINTS = ["moving", "disk_saved", "move_noted", "old_removed", *START_POINTS, "move_settled"]


@pytest.mark.parametrize("point", START_POINTS)
def test_killed_during_the_first_start_of_an_ssh_instance(host: Host, point: str) -> None:
    wish = host.task(onstart=COUNT_RUNS)
    host.market.desire(wish)
    host.start(kill_at=point)
    host.await_death()
    host.start()
    host.market.await_phase(1, "running", 1)
    assert len(host.containers()) == 1
    assert host.ssh(wish, "cat /root/runs").stdout == "run\n"


@pytest.mark.parametrize("point", START_POINTS)
def test_killed_during_the_start_of_a_command_that_ends_at_once(host: Host, point: str) -> None:
    host.market.desire(host.args_task("echo run >>/runs; exit 4"))
    host.start(kill_at=point)
    host.await_death()
    host.start()
    assert host.market.await_phase(1, "exited", 1).exit_code == 4
    # A second start would have left a second line; a third run shows what the first two did.
    host.market.desire(changed(host.market.tasks[1], run_generation=2))
    host.market.await_phase(1, "exited", 2)
    _, facts = host.container().get_archive("/runs")
    assert facts is not None
    assert facts["size"] == 2 * len("run\n")


@pytest.mark.parametrize("point", ["stopping", "stopped", "intent_saved", "started"])
def test_killed_during_a_restart(host: Host, point: str) -> None:
    wish = host.task(onstart=COUNT_RUNS)
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running", 1)
    host.end()
    again = changed(wish, run_generation=2)
    host.market.desire(again)
    host.start(kill_at=point)
    host.await_death()
    host.start()
    host.market.await_phase(1, "running", 2)
    assert len(host.containers()) == 1
    assert host.ssh(again, "cat /root/runs").stdout == "run\nrun\n"


@pytest.mark.parametrize("point", MOVE_POINTS)
def test_killed_during_a_move_to_another_gpu(host: Host, point: str) -> None:
    wish = host.task(kind="opinionated", onstart=COUNT_RUNS, gpu_uuids=["GPU-1"])
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running", 1)
    host.ssh(wish, "echo kept >/data/file")
    host.end()
    again = changed(wish, run_generation=2, gpu_uuids=["GPU-2"])
    host.market.desire(again)
    host.start(kill_at=point)
    host.await_death()
    host.start()
    host.market.await_phase(1, "running", 2)
    assert host.container().labels[GPUS_LABEL] == "GPU-2"
    assert host.ssh(again, "cat /root/runs /data/file").stdout == "run\nrun\nkept\n"
    assert len(host.saved_disks()) == 1
    volumes = volumes_of(host.container())
    host.market.desire(changed(again, state="removed"))
    host.market.await_phase(1, "removed")
    assert_nothing_left(host, volumes)


@pytest.mark.parametrize("point", ["removing", "removed", "disk_deleted"])
def test_killed_during_the_removal_of_what_has_moved(host: Host, point: str) -> None:
    wish = host.task(kind="opinionated", gpu_uuids=["GPU-1"])
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running", 1)
    again = changed(wish, run_generation=2, gpu_uuids=["GPU-2"], stop_grace_seconds=0)
    host.market.desire(again)
    host.market.await_phase(1, "running", 2)
    volumes = volumes_of(host.container())
    host.end()
    host.market.desire(changed(again, state="removed"))
    host.start(kill_at=point)
    host.await_death()
    host.start()
    host.market.await_phase(1, "removed")
    assert_nothing_left(host, volumes)


def assert_nothing_left(host: Host, volumes: list[str]) -> None:
    """Of the task and its client's data."""
    assert host.containers() == []
    assert host.saved_disks() == []
    assert list(host.memories.iterdir()) == []
    assert not {volume.name for volume in host.engine.volumes.list()} & set(volumes)


@pytest.mark.parametrize("point", ["removing", "removed"])
def test_killed_during_a_removal(host: Host, point: str) -> None:
    wish = host.task()
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running")
    host.end()
    host.market.desire(changed(wish, state="removed"))
    host.start(kill_at=point)
    host.await_death()
    host.start()
    host.market.await_phase(1, "removed")
    assert host.containers() == []
    assert list(host.memories.iterdir()) == []
