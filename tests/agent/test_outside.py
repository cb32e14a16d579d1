"""What the agent does so that the world can reach the machine: plans, words on ports, and what it lacks."""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from agent.outside import Outside, relay_obstacle
from agent.port_checks import PortChecks
from agent.protocol import PortCheck, RelayForward, SyncReply, decode, encode
from agent.relay.plan import changes
from scripts.services.launching import wait_until
from tests.plumbing.ports import claim_block
from tests.plumbing.relay import is_open

_forwards = some.frozensets(
    some.builds(RelayForward, relay_port=some.integers(1, 6), host_port=some.integers(1, 6)), max_size=8
)


@given(up=_forwards, told_besides=_forwards, wanted=_forwards)
def test_after_the_changes_all_that_is_wanted_is_up_and_nothing_else(
    up: frozenset[RelayForward], told_besides: frozenset[RelayForward], wanted: frozenset[RelayForward]
) -> None:
    planned = changes(told=up | told_besides, up=up, wanted=wanted)
    left = (up | told_besides) - set(planned.cancel)
    assert left | set(planned.add) == wanted
    assert not set(planned.cancel) & wanted
    assert not set(planned.add) & up


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
