"""A guest that fills its disk: it hits its own limit, nobody else notices, and nothing of it is left in the end."""

import subprocess
from pathlib import Path

import docker
import pytest

from agent.engine import guest_disks
from agent.engine.docker_engine import DockerEngine
from agent.engine.types import EngineDownError
from agent.protocol import DesiredTask
from tests.agent.fakes import changed
from tests.agent.host import Host, volumes_of

pytestmark = pytest.mark.engine

SLEEP = "exec sleep 1000"
FULL = "No space left on device"


@pytest.fixture
def place(engine: docker.DockerClient) -> Path:
    """Where the agent keeps disks."""
    return Path(engine.info()["DockerRootDir"]) / "spotyard-disks"


def running(host: Host, wish: DesiredTask) -> DesiredTask:
    host.market.desire(wish)
    host.market.await_phase(wish.task_id, "running")
    return wish


def stopped(host: Host, wish: DesiredTask) -> DesiredTask:
    host.market.desire(changed(wish, state="stopped"))
    host.market.await_phase(wish.task_id, "stopped")
    return wish


def layer(host: Host) -> str:
    upper: str = host.container().attrs["GraphDriver"]["Data"]["UpperDir"]
    return upper.removesuffix("/diff")


def script(host: Host, text: str, task_id: int = 1) -> str:
    """What it prints, whether or not it succeeds."""
    _, output = host.container(task_id).exec_run(["sh", "-c", text])
    assert isinstance(output, bytes)
    return output.decode()


def test_full_is_full_at_once_and_for_nobody_else(host: Host) -> None:
    host.start()
    running(host, host.args_task(SLEEP, disk_gb=1))
    running(host, host.args_task(SLEEP, 2, disk_gb=1))
    assert FULL in script(host, "dd if=/dev/zero of=/big bs=1M count=1200")
    written_mb = int(script(host, "stat -c %s /big")) >> 20
    assert 1024 <= written_mb < 1024 + 90
    assert FULL in script(host, "mkdir -p /var/tmp; dd if=/dev/zero of=/var/tmp/more bs=1M count=100")
    assert FULL not in script(host, "dd if=/dev/zero of=/big bs=1M count=200", task_id=2)
    assert script(host, "rm /big; echo mine >/x; cat /x") == "mine\n", "the guest goes on and helps itself"
    assert host.container().status == "running"


def test_a_volume_that_the_image_declares_has_a_size_too(host: Host, place: Path) -> None:
    host.start()
    running(host, host.task(2))
    wish = running(host, host.task(kind="opinionated", disk_gb=1))
    (volume,) = volumes_of(host.container())
    assert FULL in script(host, "dd if=/dev/zero of=/data/big bs=1M count=1200")
    assert 1024 <= int(script(host, "stat -c %s /data/big")) >> 20 < 1024 + 90
    assert FULL not in script(host, "dd if=/dev/zero of=/root/other bs=1M count=50"), "the disk itself is another"
    assert script(host, "rm /data/big; echo mine >/data/x; cat /data/x") == "mine\n"
    stopped(host, wish)
    subprocess.run(["umount", place.parent / "volumes" / volume], check=True)  # as after a reboot
    running(host, changed(wish, state="running", run_generation=2))
    assert host.read("/data/x") == "mine\n"
    host.market.desire(changed(wish, state="removed"))
    host.market.await_phase(1, "removed")
    assert list((place.parent / "spotyard-volumes").glob(f"{volume}*")) == []
    assert volume not in Path("/proc/self/mountinfo").read_text()


LENT = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")


def test_the_files_that_the_engine_lends_have_no_room_for_more(host: Host, place: Path) -> None:
    host.start()
    wish = running(host, host.args_task(SLEEP, disk_gb=1))
    container_id = str(host.container().id)
    sizes = []
    for file in LENT:
        assert FULL in script(host, f"cat /dev/zero >>{file}")
        sizes.append(int(script(host, f"stat -c %s {file}")))
    assert sum(sizes) <= 256 << 10
    stopped(host, wish)
    again = running(host, changed(wish, state="running", run_generation=2))
    assert "localhost" in script(host, "cat /etc/hosts"), "the engine finds room to write them anew"
    assert script(host, "cat /etc/hostname").strip() == wish.spec.hostname
    assert "nameserver" in script(host, "cat /etc/resolv.conf")
    assert script(host, "echo 10.0.0.9 node9 >>/etc/hosts; grep -c node9 /etc/hosts") == "1\n"

    stopped(host, again)
    subprocess.run(["umount", place / f"{container_id}.files"], check=True)  # as after a reboot
    running(host, changed(wish, state="running", run_generation=3))
    assert FULL in script(host, "cat /dev/zero >>/etc/hosts")
    host.market.desire(changed(wish, state="removed"))
    host.market.await_phase(1, "removed")
    assert list(place.glob(f"{container_id}*")) == []
    assert container_id not in Path("/proc/self/mountinfo").read_text()


def test_data_outlive_the_mount_and_commands_find_them(host: Host) -> None:
    host.start()
    wish = running(host, host.args_task("echo again >>/log; " + SLEEP, disk_gb=1))
    stopped(host, wish)
    subprocess.run(["umount", layer(host)], check=True)  # as the engine does when it ends
    running(host, changed(wish, state="running", run_generation=2))
    assert host.read("/log") == "again\nagain\n"


def test_nothing_is_mounted_while_the_engine_is_ending(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.start()
    stopped(host, running(host, host.args_task(SLEEP, disk_gb=1)))
    host.end()
    subprocess.run(["umount", layer(host)], check=True)
    engine = DockerEngine()
    engine.info()

    def gone() -> float | None:
        raise EngineDownError("It takes no new connections.")

    with monkeypatch.context() as ending:
        ending.setattr(guest_disks, "engine_started_at", gone)
        with pytest.raises(EngineDownError):
            engine.disk_parts(str(host.container().id))
    assert not Path(layer(host)).is_mount()
    assert engine.disk_parts(str(host.container().id)) is not None
    assert Path(layer(host)).is_mount()


def test_nothing_is_left_of_a_disk(host: Host, place: Path) -> None:
    host.start()
    wish = running(host, host.args_task(SLEEP, disk_gb=1))
    container_id = host.container().id
    assert (place / f"{container_id}.img").exists()
    folder = Path(layer(host))
    host.market.desire(changed(wish, state="removed"))
    host.market.await_phase(1, "removed")
    assert list(place.glob(f"{container_id}*")) == []
    assert not folder.exists()
    assert str(container_id) not in subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout


def test_an_agent_sweeps_what_is_left_of_containers_that_others_removed(host: Host, place: Path) -> None:
    host.start()
    running(host, host.args_task(SLEEP, disk_gb=1))
    container = host.container()
    host.kill()
    container.remove(force=True)
    assert (place / f"{container.id}.img").exists()
    host.start()
    running(host, host.args_task(SLEEP, 2, disk_gb=1))
    assert list(place.glob(f"{container.id}*")) == []
