"""Rentals while parts of the whole die and come back."""

import socket
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest

from tests.plumbing.ports import claim_ports
from tests.plumbing.rental import Account, HostMachine, SshKeyPair, account, containers_of, host_machine
from tests.plumbing.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.engine]

SERVER = ("web", "held", "worker", "clearing", "beat")


@pytest.fixture(scope="module")
def machine(stack: Stack) -> HostMachine:
    return host_machine(stack, "robust")


@pytest.fixture(scope="module")
def client(stack: Stack) -> Account:
    return account(stack, dollars=100)


@pytest.fixture(scope="module")
def key(client: Account, tmp_path_factory: pytest.TempPathFactory) -> SshKeyPair:
    pair = SshKeyPair.make(tmp_path_factory.mktemp("ssh"))
    client.call("POST", "/ssh/", {"ssh_key": pair.public_line})
    return pair


def gpu_segments(stack: Stack, instance_id: int) -> list[tuple[datetime, datetime | None]]:
    """When the GPU meter of the instance ran, from the database."""
    with psycopg2.connect(stack.database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.started_at, s.ended_at FROM billing_metersegment s JOIN billing_meter m ON m.id = s.meter_id "
            "WHERE m.reference = %s ORDER BY s.started_at",
            [f"instance:{instance_id}:gpu"],
        )
        return cursor.fetchall()


def kill(stack: Stack, name: str) -> None:
    """kill -9, and wait for the end."""
    process = stack.processes[name].popen
    assert process is not None
    process.kill()
    process.wait()


def charged_micros(stack: Stack, instance_id: int, use: str = "gpu") -> int:
    """What the ledger took from the client for this use of the instance."""
    with psycopg2.connect(stack.database_url) as connection, connection.cursor() as cursor:
        reference = f"instance:{instance_id}:{use}"
        cursor.execute("SELECT posted_micros FROM billing_meter WHERE reference = %s", [reference])
        (micros,) = cursor.fetchone() or (0,)
        return int(micros)


def test_a_rental_lives_through_its_life_and_the_ledger_equals_seconds_times_rate(
    stack: Stack, machine: HostMachine, client: Account, key: SshKeyPair, demo_image: str
) -> None:
    onstart = "echo started >> /root/starts"
    contract = client.rent(machine.machine_id, image=demo_image, onstart=onstart, label="first", env={"MODE": "x y"})
    row = client.wait_until(contract, "running")
    host, port = row["ssh_host"], int(row["ssh_port"])
    shown = key.ssh(host, port, "hostname; echo $VAST_CONTAINERLABEL; echo $MODE; cat /root/starts; echo hi > /root/f")
    assert shown.stdout.split("\n")[:4] == [f"C.{contract}", f"C.{contract}", "x y", "started"], shown

    client.call("PUT", f"/instances/{contract}/", {"state": "stopped"})
    client.wait_until(contract, "stopped")
    assert len(containers_of(stack, contract)) == 1
    client.call("PUT", f"/instances/{contract}/", {"state": "running"})
    again = client.wait_until(contract, "running")
    assert (again["ssh_host"], int(again["ssh_port"])) == (host, port)
    assert key.ssh(host, port, "cat /root/f; wc -l < /root/starts").stdout.split() == ["hi", "2"]

    client.call("DELETE", f"/instances/{contract}/", {})
    client.wait_until(contract, "gone")
    assert containers_of(stack, contract) == []
    segments = gpu_segments(stack, contract)
    assert len(segments) == 2
    microseconds = sum((end - start).total_seconds() * 1e6 for start, end in segments if end)
    assert charged_micros(stack, contract) == int(microseconds) * 400_000 // 3_600_000_000
    assert stack.manage("ledger_check")


def test_the_agent_killed_while_a_container_runs_adopts_it(
    stack: Stack, machine: HostMachine, client: Account, key: SshKeyPair, demo_image: str
) -> None:
    contract = client.rent(machine.machine_id, image=demo_image)
    row = client.wait_until(contract, "running")
    before = containers_of(stack, contract)
    key.ssh(row["ssh_host"], int(row["ssh_port"]), "echo here > /tmp/mark")
    kill(stack, f"agent-{machine.name}")
    stack.restart(f"agent-{machine.name}")
    client.call("PUT", f"/instances/{contract}/", {"label": "after"})
    assert key.ssh(row["ssh_host"], int(row["ssh_port"]), "cat /tmp/mark").stdout == "here\n"
    client.call("DELETE", f"/instances/{contract}/", {})
    client.wait_until(contract, "gone")
    assert (len(before), containers_of(stack, contract)) == (1, [])
    assert len(gpu_segments(stack, contract)) == 1


def test_containers_and_bills_survive_the_absence_of_the_server(
    stack: Stack, machine: HostMachine, client: Account, key: SshKeyPair, demo_image: str
) -> None:
    contract = client.rent(machine.machine_id, image=demo_image)
    row = client.wait_until(contract, "running")
    for name in SERVER:
        kill(stack, name)
    gone_at = datetime.now(UTC)
    # The container outlives the server, and a command run in it marks a moment within the outage.
    assert key.ssh(row["ssh_host"], int(row["ssh_port"]), "echo alive").stdout == "alive\n"
    for name in SERVER:
        stack.restart(name)
    stack.wait_until_healthy()
    back_at = datetime.now(UTC)
    assert client.wait_until(contract, "running")["actual_status"] == "running"
    client.call("PUT", f"/instances/{contract}/", {"state": "stopped"})
    client.wait_until(contract, "stopped")
    ((start, end),) = gpu_segments(stack, contract)
    assert end is not None
    assert start < gone_at < back_at < end
    assert charged_micros(stack, contract) == int((end - start).total_seconds() * 1e6) * 400_000 // 3_600_000_000
    client.call("DELETE", f"/instances/{contract}/", {})
    client.wait_until(contract, "gone")


@pytest.mark.parametrize(
    ("body", "state", "words", "most_seconds_charged"),
    [
        ({"image": "no-such-registry.invalid/no/image:1"}, "error", "no-such-registry.invalid", 0),
        ({"runtype": "args", "args": ["/no/such/program"]}, "error", "was not found in the image", 3),
        ({"runtype": "args", "args": ["sh", "-c", "exit 7"]}, "exited", "7", 3),
    ],
)
def test_what_can_not_go_on_says_why_and_costs_no_more_than_it_ran(
    stack: Stack,
    machine: HostMachine,
    client: Account,
    demo_image: str,
    body: dict[str, Any],
    state: str,
    words: str,
    most_seconds_charged: int,
) -> None:
    contract = client.rent(machine.machine_id, **({"image": demo_image} | body))
    found: dict[str, Any] = {}

    def settled() -> bool:
        found.update(client.instance(contract) or {})
        return found.get("state") == state

    stack.wait_for(settled, f"instance {contract} to be {state}", timeout_seconds=90)
    assert words in found["status_msg"]
    assert charged_micros(stack, contract) <= 400_000 * most_seconds_charged // 3600
    client.call("DELETE", f"/instances/{contract}/", {})
    client.wait_until(contract, "gone")


def test_a_port_taken_by_another_program_is_named(stack: Stack, client: Account, demo_image: str) -> None:
    ports = claim_ports(1)
    machine = host_machine(stack, "crowded", ports=ports, simulate="1x RTX 3090")
    port = int(ports.partition("-")[0])
    with socket.socket() as other:
        other.bind(("0.0.0.0", port))  # noqa: S104  # stands in the way of the container's port on all addresses
        other.listen()
        contract = client.rent(machine.machine_id, image=demo_image)
        found: dict[str, Any] = {}

        def failed() -> bool:
            found.update(client.instance(contract) or {})
            return found.get("state") == "error"

        stack.wait_for(failed, "the port to be in the way")
    assert str(port) in found["status_msg"]
    assert charged_micros(stack, contract) == 0
    client.call("PUT", f"/instances/{contract}/", {"state": "running"})
    client.wait_until(contract, "running")
    client.call("DELETE", f"/instances/{contract}/", {})
    client.wait_until(contract, "gone")


def test_what_a_container_sends_is_charged_by_the_byte(
    stack: Stack, client: Account, key: SshKeyPair, demo_image: str
) -> None:
    machine = host_machine(stack, "traffic", simulate="1x RTX 3090", inet_up_micros_per_gb=1_000_000)
    contract = client.rent(machine.machine_id, image=demo_image)
    row = client.wait_until(contract, "running")
    megabytes = 20
    sent = key.ssh(row["ssh_host"], int(row["ssh_port"]), f"head -c {megabytes}M /dev/urandom | base64")
    assert (sent.returncode, len(sent.stdout) > megabytes * 10**6) == (0, True)

    stack.wait_for(lambda: sent_bytes(stack, contract) >= len(sent.stdout), "the agent to tell what was sent")
    client.call("DELETE", f"/instances/{contract}/", {})
    client.wait_until(contract, "gone")
    counted = sent_bytes(stack, contract)
    assert counted < 2 * len(sent.stdout)
    assert charged_micros(stack, contract, "up") == counted * 1_000_000 // 10**9


def sent_bytes(stack: Stack, instance_id: int) -> int:
    """What the container sent, as far as its meter has counted."""
    with psycopg2.connect(stack.database_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT counted_bytes FROM billing_meter WHERE reference = %s", [f"instance:{instance_id}:up"])
        (count,) = cursor.fetchone() or (0,)
        return int(count)
