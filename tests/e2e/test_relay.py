"""Instances on a host behind NAT: the real agent there, the real ssh of a client elsewhere, the relay between them."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import asyncssh
import docker
import psycopg2
import pytest

from scripts.demo.layout import Layout
from tests.plumbing.nat import Nat
from tests.plumbing.ports import claim_ports
from tests.plumbing.rental import Account, HostMachine, SshKeyPair, account, host_machine
from tests.plumbing.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.engine]

SESSIONS = 200
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def stack(nat: Nat, engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An installation of its own, whose servers host and client find at this machine's outer address."""
    engine.ping()
    stack = Stack(tmp_path_factory.mktemp("stack"))
    layout: Layout = stack.layout
    stack.settings |= {
        "AGENT_URL": f"http://{nat.internet}:{layout.held_port}",
        "ALLOWED_HOSTS": f"127.0.0.1,{nat.internet}",
        "RELAY_HOST": nat.internet,
    }
    nat.lead_to_loopback(f"{layout.held_port}, {layout.relay_port}, {layout.relay_ports}")
    with stack:
        yield stack


@pytest.fixture(scope="module")
def ports() -> str:
    return claim_ports()


@pytest.fixture(scope="module")
def machine(stack: Stack, nat: Nat, ports: str) -> HostMachine:
    return host_machine(stack, "behind", within=nat.host, ports=ports)


@pytest.fixture(scope="module")
def client(stack: Stack) -> Account:
    return account(stack, dollars=100)


@pytest.fixture(scope="module")
def key(client: Account, tmp_path_factory: pytest.TempPathFactory) -> SshKeyPair:
    pair = SshKeyPair.make(tmp_path_factory.mktemp("ssh"))
    client.call("POST", "/ssh/", {"ssh_key": pair.public_line})
    return pair


@pytest.fixture(scope="module")
def address(client: Account, machine: HostMachine, key: SshKeyPair, demo_image: str) -> tuple[str, int]:
    """Where the API says that an instance is; it runs."""
    assert key.public_line
    row = client.wait_until(client.rent(machine.machine_id, image=demo_image, label="far"), "running")
    assert "ports" not in row
    return row["ssh_host"], int(row["ssh_port"])


def from_afar(nat: Nat, key: SshKeyPair, address: tuple[str, int], command: str) -> str:
    """What a command on the instance prints, for the client in its own network."""
    ssh = [*nat.client, *key.ssh_command(*address, command)]
    done = subprocess.run(ssh, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 0, done
    return done.stdout


class Session:
    """An ssh that stays."""

    def __init__(self, ssh: list[str]) -> None:
        self._process = subprocess.Popen([*ssh], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def echoes(self, line: str) -> bool:
        """Whether a line comes back from ``cat`` at the other end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline() == f"{line}\n"

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def session(nat: Nat, key: SshKeyPair, address: tuple[str, int]) -> Iterator[Session]:
    running = Session([*nat.client, *key.ssh_command(*address, "cat")])
    try:
        yield running
    finally:
        running.end()


def kill(stack: Stack, name: str) -> None:
    """kill -9, and wait for the end."""
    process = stack.processes[name].popen
    assert process is not None
    process.kill()
    process.wait()


def test_a_client_logs_in_from_anywhere(
    nat: Nat, key: SshKeyPair, client: Account, address: tuple[str, int], machine: HostMachine
) -> None:
    assert address[0] == nat.internet
    assert from_afar(nat, key, address, "echo here").strip() == "here"
    (row,) = client.call("GET", "/instances/?owner=me")["instances"]
    assert row["public_ipaddr"] == nat.router_outside
    direct = [*nat.client, *key.ssh_command(nat.router_outside, row["machine_dir_ssh_port"], "true")]
    assert subprocess.run([*direct, "-o", "ConnectionAttempts=1"], capture_output=True, check=False).returncode == 255
    assert machine.machine_id == row["machine_id"]


def test_sessions_outlive_the_agent_and_the_address_every_restart(
    stack: Stack, nat: Nat, key: SshKeyPair, client: Account, address: tuple[str, int], machine: HostMachine
) -> None:
    with session(nat, key, address) as ongoing:
        assert ongoing.echoes("before")
        kill(stack, f"agent-{machine.name}")
        assert ongoing.echoes("without the agent")
        stack.restart(f"agent-{machine.name}")
        (row,) = client.call("GET", "/instances/?owner=me")["instances"]
        client.call("PUT", f"/instances/{row['id']}/", {"state": "stopped"})
        client.wait_until(row["id"], "stopped")
    client.call("PUT", f"/instances/{row['id']}/", {"state": "running"})
    again = client.wait_until(row["id"], "running")
    assert (again["ssh_host"], int(again["ssh_port"])) == address
    assert from_afar(nat, key, address, "echo again").strip() == "again"
    with session(nat, key, address) as ongoing:
        assert ongoing.echoes("before")
        kill(stack, "relay")
        stack.restart("relay")
        wait_until_it_answers(stack, nat, key, address)
    stack.processes["relay"].popen.terminate()  # type: ignore[union-attr]  # it runs
    assert stack.processes["relay"].popen.wait(30) == 0  # type: ignore[union-attr]  # it ran
    stack.restart("relay")
    wait_until_it_answers(stack, nat, key, address)


def wait_until_it_answers(stack: Stack, nat: Nat, key: SshKeyPair, address: tuple[str, int]) -> None:
    ssh = [*nat.client, *key.ssh_command(*address, "true")]
    stack.wait_for(
        lambda: subprocess.run(ssh, capture_output=True, check=False).returncode == 0,
        "the address to work again",
        timeout_seconds=PATIENCE_SECONDS,
    )


def test_two_hundred_sessions_at_once(key: SshKeyPair, stack: Stack, address: tuple[str, int]) -> None:
    """The clients are in this process: two hundred of ssh would keep the machine busy with starting them."""

    async def one(number: int, together: asyncio.Barrier) -> bool:
        options = {"username": "root", "client_keys": [str(key.private_file)], "known_hosts": None, "config": None}
        async with (
            asyncssh.connect("127.0.0.1", address[1], login_timeout=PATIENCE_SECONDS, **options) as connection,
            connection.create_process("cat") as process,
        ):
            process.stdin.write(f"{number} opened\n")
            opened = await process.stdout.readline()
            await together.wait()  # all of them are open now
            process.stdin.write(f"{number} echoed\n")
            return [opened, await process.stdout.readline()] == [f"{number} opened\n", f"{number} echoed\n"]

    async def all_of_them() -> list[bool]:
        together = asyncio.Barrier(SESSIONS)
        async with asyncio.timeout(3 * PATIENCE_SECONDS):
            return await asyncio.gather(*(one(number, together) for number in range(SESSIONS)))

    assert asyncio.run(all_of_them()) == [True] * SESSIONS
    assert stack.processes["relay"].is_running()


def test_forwarded_ports_are_found_from_outside(
    stack: Stack, nat: Nat, client: Account, machine: HostMachine, ports: str, address: tuple[str, int]
) -> None:
    stack.wait_for(lambda: looked(stack, machine) == (3, 0), "the ports to be looked at in vain")
    assert offered(client, machine) == 0
    assert address
    nat.forward_ports(ports)
    stack.shell(
        "from django.utils import timezone; from hosting.services.port_checks import ports_ask; "
        f"ports_ask(machine_id={machine.machine_id}, now=timezone.now())"
    )
    stack.wait_for(lambda: looked(stack, machine) == (3, 3), "the ports to be reached")
    assert offered(client, machine) == 50


def looked(stack: Stack, machine: HostMachine) -> tuple[int, int]:
    """How many ports were tried, and how many answered."""
    with psycopg2.connect(stack.database_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT ports_sampled, ports_reached FROM hosting_machine WHERE id = %s", [machine.machine_id])
        sampled, reached = cursor.fetchone() or (0, 0)
        return sampled, reached


def offered(client: Account, machine: HostMachine) -> int:
    """The ports that the machine's offers tell of."""
    query = {"machine_id": {"eq": machine.machine_id}, "num_gpus": {"eq": 1}, "verified": {"eq": "any"}}
    (offer,) = client.call("POST", "/bundles/", query)["offers"]
    count: int = offer["direct_port_count"]
    return count
