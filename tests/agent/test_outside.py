"""What the agent does so that the world can reach the machine: plans, words on ports, and what it lacks."""

import socket
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from agent.outside import Outside, relay_obstacle
from agent.port_checks import PortChecks
from agent.protocol import PortCheck, PortMapping, RelayForward, SyncReply, decode, encode
from agent.relay.plan import changes, early_ports
from scripts.services.launching import wait_until
from tests.agent.fakes import task
from tests.plumbing.ports import claim_block
from tests.plumbing.relay import is_open

_forwards = some.frozensets(
    some.builds(RelayForward, relay_port=some.integers(1, 6), host_port=some.integers(1, 6)), max_size=8
)


@given(up=_forwards, told_besides=_forwards, wanted=_forwards, early=some.frozensets(some.integers(1, 6)))
def test_after_the_changes_all_that_is_wanted_is_up_and_nothing_else(
    up: frozenset[RelayForward],
    told_besides: frozenset[RelayForward],
    wanted: frozenset[RelayForward],
    early: frozenset[int],
) -> None:
    planned = changes(told=up | told_besides, up=up, wanted=wanted, early=early)
    left = (up | told_besides) - set(planned.cancel)
    too_early = {forward for forward in wanted - left if forward.host_port in early}
    assert left | set(planned.add) == wanted - too_early
    assert not set(planned.cancel) & wanted
    assert not set(planned.add) & up
    assert not {forward.host_port for forward in planned.add} & early


def test_nothing_new_leads_to_a_container_that_is_about_to_start() -> None:
    ports = {number: [100 + number, 200 + number] for number in range(3)}
    assert early_ports(ports, started={1, 7}) == {100, 200, 102, 202}


def heard(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        return connection.recv(100).decode()


def test_words_are_said_on_the_ports_that_are_asked_for_and_no_longer() -> None:
    first = claim_block()
    checks = PortChecks()
    checks.want([PortCheck(port=first, word="one"), PortCheck(port=first + 1, word="two")])
    wait_until(lambda: is_open(first) and is_open(first + 1), timeout_seconds=20, failure=lambda: "not opened")
    assert [heard(first), heard(first + 1), heard(first)] == ["one\n", "two\n", "one\n"]
    checks.want([PortCheck(port=first + 1, word="three")])
    wait_until(lambda: not is_open(first), timeout_seconds=20, failure=lambda: "not closed")
    wait_until(lambda: heard(first + 1) == "three\n", timeout_seconds=20, failure=lambda: "no new word")
    checks.stop()
    wait_until(lambda: not is_open(first + 1), timeout_seconds=20, failure=lambda: "not closed")


def test_a_port_that_is_taken_holds_up_no_other() -> None:
    first = claim_block()
    checks = PortChecks()
    with socket.create_server(("127.0.0.1", first)):
        checks.want([PortCheck(port=port, word="here") for port in (first, first + 1, 70_000)])
        wait_until(lambda: is_open(first + 1), timeout_seconds=20, failure=lambda: "not opened")
        assert heard(first + 1) == "here\n"
    checks.stop()


def test_a_port_that_an_instance_gets_is_left_to_it(tmp_path: Path) -> None:
    first = claim_block()
    outside = Outside(tmp_path)
    reply = SyncReply(generation=1, tasks=[], sync_url="", port_checks=[PortCheck(port=first, word="one")])
    outside.heed(reply)
    wait_until(lambda: is_open(first), timeout_seconds=20, failure=lambda: "not opened")
    published = [PortMapping(container_port=22, host_port=first)]
    instance = task(1)
    given = msgspec.structs.replace(instance, spec=msgspec.structs.replace(instance.spec, ports=published))
    outside.heed(msgspec.structs.replace(reply, tasks=[given]))
    wait_until(lambda: not is_open(first), timeout_seconds=20, failure=lambda: "not closed")
    outside.stop()


def test_without_ssh_there_is_no_way_to_the_relay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert relay_obstacle() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (relay_obstacle() or "").startswith("ssh and ssh-keygen not found")
    assert Outside(tmp_path).relay_key is None


def test_the_key_stays_the_same(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "state"
    key = Outside(folder).relay_key
    assert key is not None
    assert key.startswith("ssh-ed25519 ")
    assert Outside(folder).relay_key == key
    assert (folder / "relay" / "key").stat().st_mode & 0o077 == 0


def test_replies_of_older_servers_and_agents_still_fit() -> None:
    old = b'{"generation": 1, "tasks": [], "sync_url": "http://x"}'
    reply = decode(SyncReply, old)
    assert (reply.relay, reply.port_checks) == (None, [])
    assert decode(SyncReply, encode(reply)) == reply
