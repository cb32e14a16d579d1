"""A guest's life in gVisor itself, on an engine that has it: what is promised of containers holds there too."""

import shutil
from pathlib import Path

import pytest

from tests.agent.fakes import changed
from tests.agent.host import Host, volumes_of
from tests.agent.test_engine_jobs import run
from tests.plumbing.unavailable import unavailable

FLAGS = ["--overlay2=none", "--file-access=shared", "--platform=ptrace", "--network=host"]
"""Debian 12's runsc takes the namespaces of newer kernels for the host's own and refuses them, unless it leaves
networking to the kernel: that of the container's namespace, still."""

pytestmark = [
    pytest.mark.engine,
    pytest.mark.parametrize(
        "engine_config", [{"runtimes": {"runsc": {"path": "/usr/bin/runsc", "runtimeArgs": FLAGS}}}]
    ),
]

FULL = "No space left on device"


@pytest.fixture
def sandboxed(own_host: Host) -> Host:
    if shutil.which("runsc") is None:
        if "bookworm" not in Path("/etc/os-release").read_text():
            pytest.skip("only Debian 12 has a package of gVisor")
        unavailable("runsc is missing; run scripts/bootstrap.sh --tests")
    own_host.start()
    return own_host


def test_a_life_in_gvisor(sandboxed: Host) -> None:
    host = sandboxed
    other = host.key.with_name("other")
    wish = host.task(kind="opinionated", disk_gb=1, sandbox="gvisor", onstart="echo run >>/root/runs\n")
    host.market.desire(wish)
    host.market.await_phase(1, "running", 1)
    assert host.market.registrations[-1].inventory.sandboxes == {"gvisor": ""}
    said = host.ssh(wish, "id -u; dmesg | grep -c gVisor; grep nameserver /etc/resolv.conf | grep -v 127")
    assert said.stdout.split()[:3] == ["0", "1", "nameserver"]
    assert FULL in host.ssh(wish, "dd if=/dev/zero of=/big bs=1M count=1200; rm /big").stderr
    assert FULL in host.ssh(wish, "dd if=/dev/zero of=/data/big bs=1M count=1200; rm /data/big").stderr
    assert FULL in host.ssh(wish, "cat /dev/zero >>/etc/hosts").stderr
    assert run(host, "cat /root/runs; echo kept >/data/file") == (0, "run\n")

    host.key = other
    host.make_key()
    host.market.desire(changed(wish, authorized_keys=[host.public_key]))
    host.market.await_that(lambda: host.ssh(wish, "true").returncode == 0)

    host.market.desire(changed(host.market.tasks[1], state="stopped"))
    host.market.await_phase(1, "stopped")
    assert run(host, "cat /root/runs /data/file") == (0, "run\nkept\n")
    again = changed(host.market.tasks[1], state="running", run_generation=2)
    host.market.desire(again)
    host.market.await_phase(1, "running", 2)
    assert host.ssh(again, "cat /root/runs /data/file").stdout.split() == ["run", "run", "kept"]
    (volume,) = volumes_of(host.container())
    host.market.desire(changed(again, state="removed"))
    host.market.await_phase(1, "removed")
    assert volume not in [one.name for one in host.engine.volumes.list()]
