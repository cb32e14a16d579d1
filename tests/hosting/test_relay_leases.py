"""Who gets which port of the relay, for how long, and what the agent is told."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pytest_django.fixtures import Settings

from hosting.connecting import relay_addresses
from hosting.domain.relay import PortRange, machine_of, normal_key, pair_count, parse_port_range, pick_pair, user_name
from hosting.models import Machine, RelayLease
from hosting.services.relay_leases import relay_leases_complete, relay_seen
from marketplace.models import Instance
from marketplace.services.lifecycle import instance_destroy
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHRLeLhxHuPQ4u6ZkOQlNsrqyWYNUrjMxV5hJwIubTu"


@given(first=some.integers(1, 65_000), size=some.integers(2, 60), turn=some.integers(0, 10**12), data=some.data())
def test_a_pair_is_free_even_and_within_the_range(first: int, size: int, turn: int, data: some.DataObject) -> None:
    ports = PortRange(first, first + size)
    taken = data.draw(some.sets(some.integers(first, first + size)))
    even = pick_pair(ports, turn, taken)
    free = [port for port in range(first + first % 2, first + size, 2) if not {port, port + 1} & taken]
    assert (even is None) == (not free)
    assert even is None or even in free


def test_pairs_go_round_so_that_the_one_given_back_last_comes_again_last() -> None:
    ports = PortRange(10_001, 10_009)
    assert pair_count(ports) == 4
    assert [pick_pair(ports, turn, ()) for turn in range(5)] == [10_002, 10_004, 10_006, 10_008, 10_002]


@pytest.mark.parametrize("text", ["", "10-5", "10", "a-b", "0-10", "7-7", "60000-70000", "3-3"])
def test_what_is_no_range(text: str) -> None:
    assert parse_port_range(text) is None
    assert parse_port_range("10000-31999") == PortRange(10000, 31999)


def test_names_of_machines_on_the_relay() -> None:
    assert machine_of(user_name(42)) == 42
    for other in ("root", "machine-", "machine-0", "machine-042", "machine-4x", "machine-" + "9" * 30):
        assert machine_of(other) is None


@pytest.mark.parametrize(
    "text", ["", "ssh-ed25519", KEY.replace("ed25519", "rsa"), KEY[:-8], KEY + "AAAA", "x " + KEY, "ssh-ed25519 !!"]
)
def test_what_is_no_key(text: str) -> None:
    assert normal_key(text) is None
    assert normal_key(f"{KEY} spotyard agent\n") == KEY


@pytest.fixture
def relay(settings: Settings) -> None:
    settings.RELAY_HOST, settings.RELAY_PORT = "relay.example", 2222
    settings.RELAY_PORTS = PortRange(10_000, 10_005)
    relay_seen(host_key=KEY, has_tls=False, started_at=T0, figures={}, now=T0)


def rent(agent: market.TestAgent, **wish: object) -> Instance:
    return instance_rent(
        client=market.user(dollars=50), offer_id=market.offer(agent).pk, request=market.wish(**wish), now=T0
    )


@pytest.mark.django_db
@pytest.mark.usefixtures("relay")
def test_an_instance_keeps_its_pair_for_life_and_the_agent_is_told() -> None:
    agent = market.listed_machine()
    instance = rent(agent, ports=((8080, "tcp"),))
    assert agent.report(T0).relay is None  # the agent has told no key
    before = Machine.objects.get().desired_generation
    order = agent.report(T0, relay_key=KEY + " agent").relay
    assert order is not None
    assert (order.host, order.port, order.host_key) == ("relay.example", 2222, KEY)
    assert order.user == user_name(agent.machine.pk)
    assert Machine.objects.get().desired_generation > before
    pair = {lease.container_port: lease for lease in RelayLease.objects.all()}
    assert pair[22].relay_port == pair[8080].relay_port + 1
    assert (pair[22].kind, pair[8080].kind, pair[8080].relay_port % 2) == ("tcp", "https", 0)
    host_ports = {lease.container_port: lease.host_port for lease in instance.task.port_leases.all()}
    assert {one.relay_port: one.host_port for one in order.forwards} == {
        pair[inside].relay_port: host_ports[inside] for inside in (22, 8080)
    }
    for now in (T0 + timedelta(minutes=minute) for minute in (1, 2)):
        agent.obey(now)
        assert agent.report(now).relay == order
    instance_destroy(instance_id=instance.pk, actor=instance.client, now=T0 + timedelta(minutes=3))
    assert agent.report(T0 + timedelta(minutes=3)).relay == order  # the agent has not said that it is gone
    after = agent.obey(T0 + timedelta(minutes=4)).relay
    assert after is not None
    assert after.forwards == []
    assert not RelayLease.objects.filter(released_at=None).exists()


@pytest.mark.django_db
@pytest.mark.usefixtures("relay")
def test_what_is_not_published_keeps_its_port_but_has_no_address() -> None:
    agent = market.listed_machine()
    instance = rent(agent)
    assert relay_addresses(agent.machine, instance.task) == []  # its agent has told no key
    agent.report(T0, relay_key=KEY)
    told = Machine.objects.get()
    assert [(one.container_port, one.kind) for one in relay_addresses(told, instance.task)] == [(22, "tcp")]
    assert RelayLease.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.usefixtures("relay")
def test_without_a_free_port_renting_goes_on_and_the_pair_comes_later() -> None:
    agent = market.listed_machine()
    first, *_, last = [rent(agent) for _ in range(4)]
    assert [last.task.relay_leases.count(), first.task.relay_leases.count()] == [0, 2]
    assert relay_leases_complete(now=T0) == 0
    agent.obey(T0)
    instance_destroy(instance_id=first.pk, actor=first.client, now=T0)
    agent.obey(T0)
    assert relay_leases_complete(now=T0) == 1
    assert last.task.relay_leases.count() == 2


@pytest.mark.django_db
def test_an_instance_from_before_the_relay_gets_its_pair(settings: Settings) -> None:
    instance = rent(market.listed_machine())
    assert not instance.task.relay_leases.exists()
    assert relay_leases_complete(now=T0) == 0
    settings.RELAY_HOST = "relay.example"
    assert relay_leases_complete(now=T0) == 1
    assert instance.task.relay_leases.count() == 2


@pytest.mark.django_db
@pytest.mark.usefixtures("relay")
def test_a_command_without_ssh_needs_no_pair() -> None:
    rent(market.listed_machine(), mode="args", runtype="args", args=("sleep", "1"))
    assert not RelayLease.objects.exists()


@pytest.mark.django_db
@pytest.mark.usefixtures("relay")
def test_keys_that_are_none_or_another_machines_are_not_kept() -> None:
    first, second = market.listed_machine(), market.listed_machine()
    first.report(T0, relay_key=KEY)
    second.report(T0, relay_key=KEY)
    second.report(T0, relay_key="rubbish")
    assert [machine.relay_key for machine in Machine.objects.order_by("pk")] == [KEY, None]
    first.report(T0)  # an agent that lost its ssh says nothing: the key stays
    assert Machine.objects.get(pk=first.machine.pk).relay_key == KEY
