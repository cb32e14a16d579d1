"""Guests' own networks on the real engine: nobody beside them, gone with them, and no faster than was rented."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import docker
import pytest

from agent.engine import guest_networks
from agent.engine.docker_engine import DockerEngine
from agent.engine.guest_networks import GuestNetworks, bridge_of
from scripts.demo import containers
from tests.agent.fakes import changed
from tests.agent.host import Host
from tests.plumbing.unavailable import unavailable

pytestmark = pytest.mark.engine

SLEEP = "exec sleep 1000"
NET = Path("/sys/class/net")
KBIT = 1000
FLOOD_BYTES = 4_000_000
FLOOD = f"""
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range({FLOOD_BYTES} // 1400):
    sender.sendto(bytes(1400), (sys.argv[1], 9))
"""
"""Datagrams that nobody has asked for, as fast as they go."""


def guest(host: Host, **changes: object) -> Any:
    """A running container, and the name of its network."""
    host.market.desire(changed(host.args_task(SLEEP), **changes))
    host.market.await_phase(1, "running")
    return host.container(1)


def own_network(container: Any) -> str:
    (name,) = container.attrs["NetworkSettings"]["Networks"]
    return str(name)


def queue(device: str, *within: str) -> dict[str, Any]:
    """What stands before a device, as tc tells it."""
    told = subprocess.run(
        [*within, "tc", "-s", "-j", "qdisc", "show", "dev", device], capture_output=True, text=True, check=True
    )
    first: dict[str, Any] = json.loads(told.stdout)[0]
    return first


def within(container: Any) -> tuple[str, str]:
    container.reload()
    return "nsenter", f"--net=/proc/{container.attrs['State']['Pid']}/ns/net"


@pytest.fixture
def shaped(host: Host) -> Host:
    if os.geteuid() != 0 or shutil.which("tc") is None:
        unavailable("limits of lines need root and tc")
    host.start()
    return host


def test_each_guest_is_alone_on_its_bridge_until_it_is_gone(host: Host) -> None:
    host.start()
    host.market.desire(host.task(2))
    host.market.await_phase(2, "running")
    first, second = own_network(guest(host)), own_network(host.container(2))
    assert first != second
    assert {network: len(list((NET / bridge_of(network) / "brif").iterdir())) for network in (first, second)} == {
        first: 1,
        second: 1,
    }
    host.market.desire(changed(host.args_task(SLEEP), state="removed"))
    host.market.await_phase(1, "removed")
    assert not (NET / bridge_of(first)).exists()
    assert (NET / bridge_of(second)).exists()


def test_floods_both_ways_are_cut_to_what_was_rented(shaped: Host) -> None:
    container = guest(shaped, down_mbps=1.0, up_mbps=2.0)
    bridge = bridge_of(own_network(container))
    (own,) = container.attrs["NetworkSettings"]["Networks"].values()
    subprocess.run([sys.executable, "-c", FLOOD, own["IPAddress"]], check=True)
    received = queue(bridge)
    subprocess.run([*within(container), sys.executable, "-c", FLOOD, own["Gateway"]], check=True)
    sent = queue("eth0", *within(container))
    for line, kbit in ((received, 1000), (sent, 2000)):
        assert (line["kind"], line["options"]["rate"]) == ("tbf", kbit * KBIT // 8)
        assert line["drops"] > 0, "what is too much is thrown away"
    assert received["bytes"] < FLOOD_BYTES / 2
    code, _ = container.exec_run(["sh", "-c", "tc qdisc del dev eth0 root || ip link set eth0 down"])
    assert code != 0, "a guest can't take its limit away"


def test_limits_are_there_again_after_a_restart(shaped: Host) -> None:
    container = guest(shaped, down_mbps=3.0, up_mbps=4.0)
    bridge = bridge_of(own_network(container))
    subprocess.run(["tc", "qdisc", "del", "dev", bridge, "root"], check=True)  # as a host's reboot does
    wish = changed(shaped.args_task(SLEEP), down_mbps=3.0, up_mbps=4.0, run_generation=2)
    shaped.market.desire(wish)
    shaped.market.await_phase(1, "running", run_generation=2)
    assert queue(bridge)["options"]["rate"] == 3000 * KBIT // 8
    assert queue("eth0", *within(container))["options"]["rate"] == 4000 * KBIT // 8


def test_a_line_that_is_not_known_is_not_limited(shaped: Host) -> None:
    container = guest(shaped)
    assert queue(bridge_of(own_network(container)))["kind"] != "tbf"
    assert queue("eth0", *within(container))["kind"] != "tbf"


def test_what_a_killed_agent_left_is_swept_and_nothing_else(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.start()
    used = own_network(guest(host))
    networks, client, left = GuestNetworks(), docker.from_env(), f"spotyard-test-{uuid.uuid4().hex[:8]}"
    networks.ensure(client.api, left, {})
    networks.ensure(client.api, left, {})  # there already
    DockerEngine().sweep_networks()
    assert client.networks.list(names=[left]), "it may belong to a container that is being made"
    monkeypatch.setattr(guest_networks, "_YOUNG_SECONDS", -1.0)
    DockerEngine().sweep_networks()
    assert not client.networks.list(names=[left])
    assert client.networks.list(names=[used])


def test_who_clears_an_agents_containers_away_finds_their_networks(host: Host) -> None:
    host.start()
    bridge = NET / bridge_of(own_network(guest(host)))
    owner = (host.state / "owner").read_text().strip()
    host.end()
    assert containers.remove([owner]) == 1
    assert not bridge.exists()
