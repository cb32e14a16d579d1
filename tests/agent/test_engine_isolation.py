"""A guest that attacks: what it must not reach, and what has to work all the same. Needs root, for the firewall."""

import os
import shutil
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent import firewall
from agent.engine.docker_engine import DockerEngine
from agent.engine.labels import BRIDGE_PREFIX
from agent.tasks.admission import FreeImages
from agent.tasks.memory import MemoryStore, TrafficStore
from agent.tasks.plan import Identity
from agent.tasks.reconciler import Reconciler
from agent.tasks.tools import Tools
from agent.usage import UsageSampler
from tests.agent.fakes import ManualPool, changed
from tests.agent.host import Host
from tests.plumbing.local_network import LocalNetwork
from tests.plumbing.unavailable import unavailable

pytestmark = pytest.mark.engine

SLEEP = "exec sleep 1000"


def guest(host: Host, script: str = SLEEP, **changes: object) -> None:
    """A running task of its own making."""
    host.market.desire(changed(host.args_task(script), **changes))
    host.market.await_phase(1, "running")


def attempt(host: Host, script: str, task_id: int = 1) -> tuple[int, str]:
    """Exit status and output of a shell script in the guest, as root."""
    code, output = host.container(task_id).exec_run(["sh", "-c", script])
    assert isinstance(output, bytes)
    assert code is not None
    return code, output.decode()


@contextmanager
def listening() -> Iterator[int]:
    """A program on the host that greets whoever connects, on all its addresses."""
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))  # noqa: S104 - reachable from the guests' network is the point
        server.listen()

        def greet() -> None:
            try:
                while True:
                    client, _ = server.accept()
                    client.sendall(b"host says hello\n")
                    client.close()
            except OSError:
                return

        threading.Thread(target=greet, daemon=True).start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def guarded(host: Host) -> Iterator[Host]:
    """A host whose agent loads the firewall."""
    if os.geteuid() != 0 or shutil.which("nft") is None:
        unavailable("the firewall needs root and nft")
    loaded_before = firewall.is_loaded()
    host.start(firewall=True)
    yield host
    if not loaded_before:
        firewall.unload()


def gateway(host: Host, task_id: int = 1) -> str:
    """The host's address on the guest's own network."""
    (own,) = host.container(task_id).attrs["NetworkSettings"]["Networks"].values()
    return str(own["Gateway"])


def test_firewall_keeps_guests_from_the_host_and_lets_clients_in(guarded: Host) -> None:
    wish = guarded.task(2)
    guarded.market.desire(wish)
    guarded.market.await_phase(2, "running")
    guest(guarded)
    host_address = gateway(guarded)
    with listening() as port:
        reach = f"nc -w 1 {host_address} {port} </dev/null"
        assert "hello" not in attempt(guarded, reach)[1]
        subprocess.run(["nft", "delete", "table", "inet", firewall.TABLE], check=True)
        assert "hello" in attempt(guarded, reach)[1], "without the firewall the host is reached, so the test can tell"
        assert firewall.load(BRIDGE_PREFIX) == ""
        assert "hello" not in attempt(guarded, reach)[1]
    assert guarded.ssh(wish, "echo in").stdout == "in\n"


def test_guests_do_not_reach_each_other(guarded: Host) -> None:
    wish = guarded.task(2)
    guarded.market.desire(wish)
    guarded.market.await_phase(2, "running")
    guest(guarded)
    (others,) = guarded.container(2).attrs["NetworkSettings"]["Networks"].values()
    other = others["IPAddress"]
    assert "SSH-" not in attempt(guarded, f"nc -w 1 {other} 22 </dev/null")[1]
    published = wish.spec.ports[0].host_port
    assert "SSH-" not in attempt(guarded, f"nc -w 1 {gateway(guarded)} {published} </dev/null")[1]


def test_guests_do_not_reach_the_local_network_metadata_or_its_name_servers(
    guarded: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest(guarded)
    with LocalNetwork() as network:
        doors = [(address, port) for address in network.addresses for port in (80, 53)]

        def reached() -> set[tuple[str, int]]:
            return {
                (address, port)
                for address, port in doors
                if network.GREETING in attempt(guarded, f"nc -w 1 {address} {port} </dev/null")[1]
            }

        assert reached() == set()
        monkeypatch.setattr(firewall, "asked_by_the_engine", lambda: [network.addresses[0]])
        assert firewall.load(BRIDGE_PREFIX) == ""
        assert reached() == {(network.addresses[0], 53)}, "the name server that the host asks, and nothing else"
        subprocess.run(["nft", "delete", "table", "inet", firewall.TABLE], check=True)
        assert reached() == set(doors), "without the firewall all of it is reached, so the test can tell"


def test_a_guest_has_no_way_into_ipv6(guarded: Host) -> None:
    guest(guarded)
    addresses = attempt(guarded, "cat /proc/net/if_inet6 || true")[1].splitlines()
    assert {line.split()[-1] for line in addresses} <= {"lo"}
    off = attempt(guarded, "echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6; ip -6 addr add fd00:77::9/64 dev eth0")
    assert off[0] != 0


def test_rules_are_loaded_again_where_somebody_has_changed_them(guarded: Host) -> None:
    guest(guarded)
    changes = [f"flush chain inet {firewall.TABLE} guests_to_host", f"delete table inet {firewall.TABLE}"]
    found: list[str] = []

    class Looks:
        """Stands for the event that ends the agent: each wait lets somebody change the rules, the last one ends."""

        def wait(self, _seconds: float) -> bool:
            listed = subprocess.run(
                ["nft", "list", "table", "inet", firewall.TABLE], capture_output=True, text=True, check=True
            )
            found.append(listed.stdout)
            if not changes:
                return True
            subprocess.run(["nft", *changes.pop(0).split()], check=True)
            return False

    firewall.Guard(BRIDGE_PREFIX).keep(Looks())  # type: ignore[arg-type]  # all that is asked of the event
    assert len(found) == 3
    assert found[0] == found[1] == found[2]


def test_rules_cover_all_private_networks_and_are_replaced_as_a_whole() -> None:
    rules = firewall.rules("spotyard")
    for network in ("169.254.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fe80::/10"):
        assert network in rules
    assert "dport" not in rules
    asked = firewall.rules("spotyard", ["192.168.1.1", "fd00::1", "10.0.0.2"])
    assert "ip daddr { 10.0.0.2, 192.168.1.1 } meta l4proto { tcp, udp } th dport 53 accept" in asked
    assert "ip6 daddr { fd00::1 } meta l4proto { tcp, udp } th dport 53 accept" in asked
    # Declared, deleted and made anew in one transaction: loading twice leaves one table, and never none.
    assert rules.splitlines()[:3] == ["table inet spotyard", "delete table inet spotyard", "table inet spotyard {"]


ATTACKS = [
    "mount -t tmpfs none /mnt",
    "mount -t proc proc /proc",
    "mknod /dev/mem2 c 1 1",
    "chroot / mount -o remount,rw /sys",
    "echo 1 >/proc/sys/kernel/panic",
    "hostname other",
    "ip link add dummy0 type dummy",
    "dd if=/proc/kcore of=/dev/null count=1",
    "ls /var/run/docker.sock",
    "insmod /tmp/x.ko",
]


def test_root_inside_is_not_root_outside(host: Host) -> None:
    host.start()
    guest(host, "mkdir -p /mnt; touch /tmp/x.ko; " + SLEEP)
    succeeded = [attack for attack in ATTACKS if attempt(host, attack)[0] == 0]
    assert succeeded == []


def test_limits_are_those_of_the_contract(host: Host) -> None:
    host.start()
    guest(host, cpu_cores=0.5, ram_mb=64, pids_limit=50, shm_mb=8)
    limits = host.container().attrs["HostConfig"]
    assert limits["NanoCpus"] == 500_000_000
    assert limits["Memory"] == limits["MemorySwap"] == 64 << 20
    assert (limits["PidsLimit"], limits["ShmSize"]) == (50, 8 << 20)
    assert limits["CapDrop"] == ["ALL"]
    assert not limits["Privileged"]
    assert limits["SecurityOpt"] == ["no-new-privileges:true"]
    assert host.container().attrs["Mounts"] == []
    bomb = "for i in $(seq 100); do sleep 100 & done; echo all"
    assert attempt(host, bomb)[1].strip().endswith("Resource temporarily unavailable")


def test_claims_beyond_the_real_machine_are_clamped(host: Host) -> None:
    host.start()
    guest(host, cpu_cores=512.0, ram_mb=4_000_000, shm_mb=2_000_000)
    limits = host.container().attrs["HostConfig"]
    info = DockerEngine().info()
    assert limits["NanoCpus"] == info.cpus * 1_000_000_000
    assert limits["Memory"] == info.ram_mb << 20


def test_disk_over_the_limit_ends_the_run_with_the_reason(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where disks can't be limited at once. In this process, so that the sampler looks when told to."""
    monkeypatch.setattr("agent.engine.guest_disks.obstacle", lambda *_: "not on this machine")
    engine, pool, identity = DockerEngine(), ManualPool(), Identity(9, uuid.uuid4().hex, simulated=True)
    host.state.mkdir()
    (host.state / "owner").write_text(identity.owner)
    traffic = TrafficStore(tmp_path)
    tools = Tools(
        engine=engine,
        store=MemoryStore(tmp_path),
        traffic=traffic,
        free_images=FreeImages(tmp_path),
        identity=identity,
        disk_floor_gb=0.0,
    )
    changes: list[bool] = []
    reconciler = Reconciler(tools=tools, pool=pool, on_change=changes.append, on_engine_down=pytest.fail)
    sampler = UsageSampler(engine)
    sampler.watch(reconciler, traffic)

    script = f"dd if=/dev/zero of=/big bs=1M count=40 2>/dev/null; touch /done; {SLEEP}"
    reconciler.apply([host.args_task(script, disk_gb=0)])
    pool.run()
    host.market.await_that(lambda: attempt(host, "ls /done")[0] == 0)
    sampler.sample()
    pool.run()

    (told,) = reconciler.observed()
    assert (told.phase, told.reason, told.run_generation) == ("exited", "disk_limit", 1)
    assert "0 GB of disk it has rented" in told.message
    assert told.disk_used_mb == 40
    assert told.net_rx_bytes is not None
    assert host.container().status == "exited"
