"""Whether a machine's ports can be reached: looked at with real sockets on this machine's loopback address."""

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pytest_django.fixtures import Settings

from agent.port_checks import PortChecks
from agent.protocol import PortCheck
from hosting.domain.port_checks import AGAIN_AFTER, EVERY, TRY_FOR, leased_last, may_connect, reachable_ports
from hosting.models import Machine, MachineEvent
from hosting.services.port_checks import port_checks_sweep, ports_ask
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.plumbing.ports import claim_block
from tests.plumbing.relay import await_that, is_open

PUBLIC, OWN = "9.9.9.9", "10.1.2.3"


@pytest.mark.parametrize(
    ("address", "dialled_from", "allowed"),
    [
        (PUBLIC, OWN, True),
        (OWN, OWN, True),
        ("10.1.2.4", OWN, False),
        ("127.0.0.1", "127.0.0.1", False),
        ("169.254.169.254", "169.254.169.254", False),
        ("0.0.0.0", "0.0.0.0", False),  # noqa: S104 - an address, not a bind
        ("::1", "::1", False),
        ("::ffff:10.1.2.3", OWN, False),
        ("rig.example", "rig.example", False),
    ],
)
def test_where_we_connect_to(address: str, dialled_from: str, allowed: bool) -> None:
    assert may_connect(address, dialled_from=dialled_from, allow_private=False) == allowed
    if address != "rig.example":
        assert may_connect(address, dialled_from=dialled_from, allow_private=True)


@given(address=some.ip_addresses())
def test_what_is_not_global_is_only_reached_where_the_agent_comes_from(address: object) -> None:
    if may_connect(str(address), dialled_from="", allow_private=False):
        assert ip_address(str(address)).is_global


def test_the_count_follows_the_sample() -> None:
    assert reachable_ports(100, sampled=3, reached=3) == 100
    assert reachable_ports(100, sampled=3, reached=1) == 33
    assert reachable_ports(100, sampled=0, reached=0) == 0


@given(size=some.integers(1, 30), after=some.integers(0, 40), data=some.data())
def test_ports_that_instances_get_next_are_left_alone(size: int, after: int, data: some.DataObject) -> None:
    taken = data.draw(some.sets(some.integers(1, size)))
    late = leased_last(1, size, after=after, taken=taken)
    free = sorted(set(range(1, size + 1)) - taken, key=lambda port: (port <= after % (size + 1), port))
    assert not set(late) & taken
    assert len(late) == len(free) // 2
    assert not free or after > size or free[0] not in late


@pytest.fixture
def block(settings: Settings) -> int:
    settings.PORT_CHECKS_ALLOW_PRIVATE = True
    return claim_block()


@pytest.fixture
def agent(block: int, db: None) -> TestAgent:  # noqa: ARG001 - the database
    """Listed, with its ports on this machine."""
    agent = market.listed_machine()
    agent.report(T0, inventory=inventory(block))
    return agent


def inventory(first: int, address: str = "127.0.0.1") -> object:
    gpus = [market.gpu(i) for i in range(4)]
    return market.inventory(gpus=gpus, public_address=address, port_first=first, port_last=first + 39)


@pytest.fixture
def ports() -> Iterator[PortChecks]:
    """What a real agent answers with."""
    checks = PortChecks("127.0.0.1")
    yield checks
    checks.stop()


def asked(agent: TestAgent) -> list[PortCheck]:
    return agent.report(T0).port_checks


def test_ports_that_answer_are_on_the_offers(agent: TestAgent, block: int, ports: PortChecks) -> None:
    assert (market.offer(agent).direct_port_count, asked(agent)) == (0, [])
    port_checks_sweep(now=T0)
    checks = asked(agent)
    assert len(checks) == 3
    assert {check.port for check in checks} < set(range(block, block + 40))
    ports.want(checks)
    await_that(lambda: all(is_open(check.port) for check in checks), "the ports to open")
    assert port_checks_sweep(now=T0 + timedelta(seconds=10)) == 1
    machine = Machine.objects.get()
    assert (machine.ports_sampled, machine.ports_reached, machine.direct_port_count) == (3, 3, 40)
    assert asked(agent) == []
    assert market.offer(agent).direct_port_count == 40
    assert MachineEvent.objects.filter(kind="ports", message__startswith="3 of 3 ports").exists()


def test_ports_that_do_not_answer_count_as_closed_after_a_while(agent: TestAgent) -> None:
    port_checks_sweep(now=T0)
    assert port_checks_sweep(now=T0 + timedelta(seconds=10)) == 0
    assert port_checks_sweep(now=T0 + TRY_FOR) == 1
    machine = Machine.objects.get(pk=agent.machine.pk)
    assert (machine.ports_sampled, machine.ports_reached, machine.is_direct) == (3, 0, False)
    assert machine.ports_asked_at is None


def test_another_word_than_ours_does_not_count(agent: TestAgent, ports: PortChecks) -> None:
    port_checks_sweep(now=T0)
    checks = asked(agent)
    ports.want([PortCheck(port=check.port, word="SSH-2.0-OpenSSH") for check in checks])
    await_that(lambda: all(is_open(check.port) for check in checks), "the ports to open")
    port_checks_sweep(now=T0 + TRY_FOR)
    assert Machine.objects.get().ports_reached == 0


def test_addresses_of_ours_are_not_connected_to(agent: TestAgent, ports: PortChecks, settings: Settings) -> None:
    settings.PORT_CHECKS_ALLOW_PRIVATE = False
    port_checks_sweep(now=T0)
    checks = asked(agent)
    ports.want(checks)
    await_that(lambda: all(is_open(check.port) for check in checks), "the ports to open")
    port_checks_sweep(now=T0 + TRY_FOR)
    assert Machine.objects.get().ports_reached == 0


def set_seen(reached: int) -> None:
    Machine.objects.update(ports_checked_at=T0, ports_sampled=3, ports_reached=reached, session_started_at=T0)


@pytest.mark.parametrize(("reached", "after"), [(3, EVERY), (1, AGAIN_AFTER), (0, AGAIN_AFTER)])
def test_when_we_look_again(agent: TestAgent, reached: int, after: timedelta) -> None:
    set_seen(reached)
    port_checks_sweep(now=T0 + after - timedelta(seconds=1))
    assert asked(agent) == []
    port_checks_sweep(now=T0 + after)
    assert len(asked(agent)) == 3


def test_a_new_start_and_a_new_address_are_looked_at(agent: TestAgent, block: int) -> None:
    set_seen(3)
    TestAgent(agent.machine).report(T0 + timedelta(minutes=5))
    port_checks_sweep(now=T0 + timedelta(minutes=5))
    assert Machine.objects.get().ports_asked_at is not None
    set_seen(3)
    Machine.objects.update(ports_asked_at=None, ports_asked={})
    other = TestAgent(agent.machine)
    other.report(T0 + timedelta(minutes=6), inventory=inventory(block, "127.0.0.2"))
    machine = Machine.objects.get()
    assert (machine.ports_checked_at, machine.direct_port_count) == (None, 0)
    assert market.offer(agent).direct_port_count == 0


def test_only_free_ports_are_asked_for_and_last_those_that_are_next(agent: TestAgent, block: int) -> None:
    for _ in range(3):
        instance_rent(client=market.user(dollars=50), offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    used = set(agent.machine.port_leases.values_list("host_port", flat=True))
    soon = set(range(block + 3, block + 10))
    for _ in range(20):
        assert ports_ask(machine_id=agent.machine.pk, now=T0)
        assert not ports_ask(machine_id=agent.machine.pk, now=T0)
        assert not {check.port for check in asked(agent)} & (used | soon)
        Machine.objects.update(ports_asked_at=None)
