"""An engine that maps root in its containers to an ordinary user of the host: a whole life of a guest on it."""

import subprocess
from pathlib import Path

import pytest

from tests.agent.fakes import changed
from tests.agent.host import Host, volumes_of
from tests.agent.test_engine_jobs import run
from tests.plumbing.own_engine import OwnEngine

pytestmark = [pytest.mark.engine, pytest.mark.parametrize("engine_config", [{"userns-remap": "default"}])]

FULL = "No space left on device"


def test_root_inside_is_nobody_outside_and_all_works_as_elsewhere(own_host: Host, own_engine: OwnEngine) -> None:
    host = own_host
    wish = host.task(kind="opinionated", disk_gb=1, onstart="echo run >>/root/runs\n")
    host.start()
    host.market.desire(wish)
    host.market.await_phase(1, "running", 1)
    inventory = host.market.registrations[-1].inventory
    assert inventory is not None
    assert inventory.user_namespaces
    pid = host.container().attrs["State"]["Pid"]
    owner = Path(f"/proc/{pid}").stat().st_uid
    assert owner >= 100_000

    said = host.ssh(wish, "id -u; touch /root/mine /data/mine; echo 10.0.0.9 node9 >>/etc/hosts; tail -n 1 /etc/hosts")
    assert said.stdout.splitlines() == ["0", "10.0.0.9 node9"]
    assert FULL in host.ssh(wish, "dd if=/dev/zero of=/big bs=1M count=1200; rm /big").stderr
    assert FULL in host.ssh(wish, "dd if=/dev/zero of=/data/big bs=1M count=1200; rm /data/big").stderr
    assert FULL in host.ssh(wish, "cat /dev/zero >>/etc/hostname").stderr

    host.market.desire(changed(wish, state="stopped"))
    host.market.await_phase(1, "stopped")
    assert run(host, "cat /root/runs") == (0, "run\n")
    assert run(host, "mkdir -p /new/place") == (0, "")
    assert run(host, "cp /root/runs /new/copy") == (0, "")
    again = changed(wish, run_generation=2)
    host.market.desire(again)
    host.market.await_phase(1, "running", 2)
    seen = host.ssh(
        again, "cat /root/runs /new/copy; stat -c %u /new/place /new/copy; rm -r /new /data/mine && echo gone"
    )
    assert seen.stdout.split() == ["run", "run", "run", "0", "0", "gone"]

    (volume,) = volumes_of(host.container())
    container_id = str(host.container().id)
    host.market.desire(changed(again, state="removed"))
    host.market.await_phase(1, "removed")
    told = host.market.observed(1)
    assert told is not None
    assert "disk" in told.erased
    place = own_engine.client().info()["DockerRootDir"]
    left = subprocess.run(
        ["find", place, "-name", f"*{container_id}*", "-o", "-name", f"*{volume}*"], capture_output=True
    )
    assert left.stdout == b""
