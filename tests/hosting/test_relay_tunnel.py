"""The agent's tunnel against the real relay: what is wanted comes about, whatever dies on the way."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from agent.protocol import RelayForward, RelayOrder
from agent.relay.ssh import RelaySsh
from agent.relay.tunnel import Tunnel
from hosting.connecting import relay_order
from hosting.domain.relay import PortRange
from hosting.models import Machine, PortLease, Relay, RelayLease, Task
from hosting.services.relay_leases import relay_key_learn
from tests.plumbing import market
from tests.plumbing.market import T0
from tests.plumbing.ports import claim_block
from tests.plumbing.relay import await_that, connect, echo_server, echoes, is_open, running_relay

pytestmark = pytest.mark.django_db(transaction=True)


class Rig:
    """A machine with one instance, and its agent's directory, which has a long name."""

    def __init__(self, folder: Path, block: int, host_port: int) -> None:
        self.home = folder / ("long" * 30) / "relay"
        self.ssh = RelaySsh(self.home)
        self.machine: Machine = market.register(market.user())
        relay_key_learn(machine=self.machine, told=self.ssh.public_key(), now=timezone.now())
        self.first, self.second = block + 10, block + 12
        self._lease(self.first, host_port)
        self._lease(self.second, host_port + 1)
        self.tunnel = Tunnel(self.home, kept_seconds=0)

    def _lease(self, relay_port: int, host_port: int) -> None:
        task = Task.objects.create(
            machine=self.machine, kind="instance", label="C.1", spec={}, observed_since=T0, created_at=T0
        )
        ports = {"task": task, "container_port": 22}
        PortLease.objects.create(machine=self.machine, host_port=host_port, protocol="tcp", **ports)
        RelayLease.objects.create(relay_port=relay_port, kind="tcp", created_at=T0, **ports)

    def order(self, *relay_ports: int) -> RelayOrder:
        """What the agent is told, with these forwards only."""
        await_that(lambda: Relay.objects.exists(), "the relay to tell its key")
        order = relay_order(self.machine.pk)
        assert order is not None
        wanted: list[RelayForward] = [one for one in order.forwards if one.relay_port in relay_ports]
        return msgspec.structs.replace(order, forwards=wanted)

    def agent_restarts(self, kept_seconds: float = 0) -> None:
        """Another agent on the same directory, which keeps an unused connection for so long."""
        self.tunnel.stop()
        self.tunnel = Tunnel(self.home, kept_seconds=kept_seconds)

    def pid(self) -> int:
        """The ssh that holds the connection."""
        pid = self.ssh.running_pid(self.order())
        assert pid is not None
        return pid

    def close(self) -> None:
        self.tunnel.stop()
        self.ssh.exit(self.order())


@pytest.fixture
def rig(settings: Settings, tmp_path: Path) -> Iterator[Rig]:
    block = claim_block()
    settings.RELAY_HOST, settings.RELAY_PORT, settings.RELAY_BIND = "127.0.0.1", block, "127.0.0.1"
    settings.RELAY_PORTS = PortRange(block + 10, block + 49)
    settings.RELAY_HOST_KEY_FILE = tmp_path / "host_key"
    with echo_server() as host_port:
        rig = Rig(tmp_path, block, host_port)
        yield rig
        rig.close()


def test_forwards_come_and_go_without_disturbing_others_and_outlive_the_agent(rig: Rig) -> None:
    with running_relay():
        rig.tunnel.want(rig.order(rig.first))
        await_that(lambda: is_open(rig.first), "the first port")
        pid = rig.pid()
        with connect(rig.first) as session:
            assert echoes(session)
            rig.tunnel.want(rig.order(rig.first, rig.second))
            await_that(lambda: is_open(rig.second), "the second port")
            rig.agent_restarts()
            assert echoes(session)
            rig.tunnel.want(rig.order(rig.first))
            await_that(lambda: not is_open(rig.second), "the second port to close")
            assert echoes(session)
            assert rig.pid() == pid
        rig.tunnel.want(rig.order())
        await_that(lambda: not is_open(rig.first), "the first port to close")
        await_that(lambda: rig.ssh.running_pid(rig.order()) is None, "ssh to end")


def test_the_connection_waits_for_the_next_rental(rig: Rig) -> None:
    rig.agent_restarts(kept_seconds=600)
    with running_relay():
        rig.tunnel.want(rig.order(rig.first))
        await_that(lambda: is_open(rig.first), "the port")
        pid = rig.pid()
        rig.tunnel.want(rig.order())
        await_that(lambda: not is_open(rig.first), "the port to close")
        rig.tunnel.want(rig.order(rig.second))
        await_that(lambda: is_open(rig.second), "the next port")
        assert rig.pid() == pid


def test_it_is_up_again_after_the_end_of_ssh_and_of_the_relay(rig: Rig) -> None:
    with running_relay():
        order = rig.order(rig.first)
        rig.tunnel.want(order)
        await_that(lambda: is_open(rig.first), "the port")
        os.kill(rig.pid(), signal.SIGKILL)
        await_that(lambda: not is_open(rig.first), "the relay to see the end")
        await_that(lambda: is_open(rig.first), "the port again")
    assert not is_open(rig.first)
    rig.agent_restarts()
    rig.tunnel.want(order)
    with running_relay():
        await_that(lambda: is_open(rig.first), "the port after the relay's restart")
        with connect(rig.first) as session:
            assert echoes(session)


def test_a_relay_with_another_key_is_not_trusted(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with running_relay():
        order = rig.order(rig.first)
        false = msgspec.structs.replace(order, host_key=rig.ssh.public_key())
        rig.tunnel.want(false)
        await_that(lambda: "relay_away" in caplog.text, "ssh to refuse")
        assert "Host key verification failed" in caplog.text
        assert not is_open(rig.first)
        rig.tunnel.want(order)
        await_that(lambda: is_open(rig.first), "the port")
