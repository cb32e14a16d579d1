"""What pages and API say of the ways to an instance and to a machine."""

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from hosting.models import Machine
from hosting.services.relay_leases import relay_lease, relay_seen
from marketplace.api.instance_json import instance_json
from marketplace.models import Instance
from marketplace.selectors import instances_of
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import text

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHRLeLhxHuPQ4u6ZkOQlNsrqyWYNUrjMxV5hJwIubTu"

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(settings: Settings) -> TestAgent:
    settings.RELAY_HOST = "relay.example"
    relay_seen(host_key=KEY, has_tls=True, started_at=T0, figures={}, now=T0)
    agent = market.listed_machine()
    agent.report(T0, relay_key=KEY)
    return agent


def rent(agent: TestAgent, **wish: object) -> Instance:
    """A running instance."""
    client = market.user(dollars=50)
    request = market.wish(**({"ports": ((6006, "tcp"), (8080, "tcp"), (9000, "udp"))} | wish))
    instance = instance_rent(client=client, offer_id=market.offer(agent).pk, request=request, now=T0)
    agent.obey(T0)
    return instances_of(client).get(pk=instance.pk)


def relay_port(instance: Instance) -> int:
    return instance.task.relay_leases.get(container_port=22).relay_port


def set_direct(agent: TestAgent) -> None:
    Machine.objects.filter(pk=agent.machine.pk).update(ports_checked_at=T0, ports_sampled=3, ports_reached=3)


def signed_in(instance: Instance) -> Client:
    browser = Client()
    browser.force_login(instance.client)
    return browser


def test_behind_a_router_there_is_the_relay_alone(agent: TestAgent) -> None:
    instance = rent(agent)
    port = relay_port(instance)
    browser = signed_in(instance)
    dialog = browser.get(f"/instances/{instance.pk}/connect/").content.decode()
    assert f'data-copy="ssh -p {port} root@relay.example -L 8080:localhost:8080"' in dialog
    assert f'data-copy="scp -P {port} LOCAL_FILE root@relay.example:/root/"' in dialog
    assert f'data-copy="scp -P {port} root@relay.example:/root/REMOTE_FILE ."' in dialog
    assert "LOCAL_FOLDER root@relay.example:/root/" in dialog
    assert "192.0.2.7" not in dialog
    page = text(browser.get(f"/instances/{instance.pk}/"))
    assert "add -L 6006:localhost:6006 to ssh" in page
    assert f"8080/tcp → https://relay.example:{port - 1}" in page
    assert "9000/udp Not reachable" in page
    row = instance_json(instance, T0)
    assert (row["ssh_host"], row["ssh_port"]) == ("relay.example", port)
    assert "ports" not in row


def test_with_open_ports_there_are_both_ways(agent: TestAgent) -> None:
    instance = rent(agent)
    set_direct(agent)
    port, own = relay_port(instance), instance.ssh_port
    browser = signed_in(instance)
    dialog = browser.get(f"/instances/{instance.pk}/connect/").content.decode()
    assert dialog.index(f"ssh -p {port} root@relay.example") < dialog.index(f"ssh -p {own} root@192.0.2.7")
    assert 'aria-label="Copy Log in, through the relay"' in dialog
    assert 'aria-label="Copy Log in, direct"' in dialog
    assert "6006/tcp → 192.0.2.7:" in text(browser.get(f"/instances/{instance.pk}/"))


def test_the_api_tells_ssh_clients_the_address_that_stays(agent: TestAgent) -> None:
    plain, direct = rent(agent), rent(agent, runtype="ssh_direc ssh_proxy")
    notebook = rent(agent, runtype="jupyter_direc ssh_proxy")
    set_direct(agent)
    for instance, has_own in ((plain, False), (direct, True), (notebook, True)):
        instance.refresh_from_db()
        row = instance_json(instance, T0)
        assert set(row["ports"]) >= {"6006/tcp", "8080/tcp", "9000/udp"}
        assert ("22/tcp" in row["ports"]) == has_own
        added = 1 if instance is notebook else 0  # by the client
        assert (row["ssh_host"], row["ssh_port"] + added) == ("relay.example", relay_port(instance))


def test_an_agent_that_can_not_use_the_relay_is_reached_directly(settings: Settings) -> None:
    settings.RELAY_HOST = "relay.example"
    instance = rent(market.listed_machine())
    relay_lease(task=instance.task, now=T0)
    row = instance_json(instance, T0)
    assert (row["ssh_host"], row["ssh_port"]) == ("192.0.2.7", instance.ssh_port)
    assert "root@192.0.2.7" in signed_in(instance).get(f"/instances/{instance.pk}/connect/").content.decode()


def test_the_machines_page_says_whether_it_can_be_reached_and_what_to_do(agent: TestAgent) -> None:
    host = Client()
    host.force_login(agent.machine.host)
    address = f"/host/machines/{agent.machine.pk}/"
    assert "Not looked at yet" in text(host.get(address))
    assert host.post(f"{address}ports/").status_code == 302
    assert "Being looked at" in text(host.get(address))
    assert len(agent.report(T0).port_checks) == 3
    Machine.objects.update(ports_asked_at=None, ports_checked_at=T0, ports_sampled=3, ports_reached=0)
    page = text(host.get(address))
    assert "0 of 3 ports that we tried" in page
    assert "In your router, forward TCP ports 21000\N{EN DASH}21099 to this machine" in page
    set_direct(agent)
    page = text(host.get(address))
    assert "3 of 3 ports that we tried" in page
    assert "In your router" not in page


def test_others_can_not_have_a_machine_looked_at(agent: TestAgent) -> None:
    other = Client()
    other.force_login(market.user())
    assert other.post(f"/host/machines/{agent.machine.pk}/ports/").status_code == 404
    assert agent.report(T0).port_checks == []


def test_figures_of_the_relay(settings: Settings, agent: TestAgent) -> None:  # noqa: ARG001 - a relay that runs
    settings.METRICS_TOKEN = "a token that is long enough"
    told = {"machines": 3, "ports": 5, "bytes_in": 7}
    relay_seen(host_key=KEY, has_tls=True, started_at=T0, figures=told, now=T0)
    page = Client().get("/metrics", headers={"Authorization": f"Bearer {settings.METRICS_TOKEN}"})
    shown = page.content.decode()
    assert "spotyard_relay_machines 3.0" in shown
    assert "spotyard_relay_ports 5.0" in shown
    assert "spotyard_relay_bytes_in_since_start 7.0" in shown
