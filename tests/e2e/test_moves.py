"""An instance goes on on another machine, with what is on its disk, while the relay and an agent die."""

from pathlib import Path

import psycopg2
import pytest

from tests.plumbing.rental import Account, HostMachine, SshKeyPair, account, containers_of, host_machine
from tests.plumbing.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.engine]


@pytest.fixture(scope="module")
def machines(stack: Stack) -> list[HostMachine]:
    return [host_machine(stack, name, simulate="1x RTX 3090") for name in ("move-from", "move-to")]


@pytest.fixture(scope="module")
def client(stack: Stack) -> Account:
    return account(stack, dollars=100)


def kill(stack: Stack, name: str) -> None:
    process = stack.processes[name].popen
    assert process is not None
    process.kill()
    process.wait()


def receiving(stack: Stack) -> tuple[str, float]:
    """State of the newest move, and how much of the disk its target has."""
    with psycopg2.connect(stack.database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT m.state, coalesce(j.progress, 0) FROM marketplace_move m "
            "LEFT JOIN hosting_job j ON j.id = m.receiving_id ORDER BY m.id DESC LIMIT 1"
        )
        state, share = cursor.fetchone() or ("", 0)
        return state, share


def test_a_disk_moves_while_the_relay_and_the_targets_agent_die(
    stack: Stack, machines: list[HostMachine], client: Account, demo_image: str, tmp_path: Path
) -> None:
    key = SshKeyPair.make(tmp_path)
    client.call("POST", "/ssh/", {"ssh_key": key.public_line})
    source = client.rent(machines[0].machine_id, image=demo_image, label="wanders", env={"MODE": "x"})
    row = client.wait_until(source, "running")
    begun = "head -c 80M /dev/urandom >/root/big; sha256sum /root/big"
    made = key.ssh(row["ssh_host"], int(row["ssh_port"]), begun)
    client.call("PUT", f"/instances/{source}/", {"state": "stopped"})
    client.wait_until(source, "stopped")

    query = {"machine_id": {"eq": machines[1].machine_id}, "num_gpus": {"eq": 1}, "verified": {"eq": "any"}}
    (offer,) = client.call("POST", "/bundles/", query)["offers"]
    asked = client.call("PUT", f"/instances/move/{source}/", {"offer_id": offer["id"]})
    target = asked["new_contract"]
    packing = ("asked", "stopping", "packing")
    stack.wait_for(lambda: receiving(stack)[0] not in packing, "the disk to be packed")
    stack.wait_for(lambda: receiving(stack)[1] > 0.02 or receiving(stack)[0] != "sending", "the disk to be on its way")
    for name in ("relay", f"agent-{machines[1].name}"):
        kill(stack, name)
        stack.restart(name)
    row = client.wait_until(target, "running", timeout_seconds=120)
    assert (row["label"], ["MODE", "x"] in row["extra_env"]) == ("wanders", True)
    there = row["ssh_host"], int(row["ssh_port"])
    assert key.ssh(*there, "sha256sum /root/big; echo $MODE").stdout.split() == [*made.stdout.split(), "x"]
    client.wait_until(source, "gone", timeout_seconds=60)
    assert containers_of(stack, source) == []
    assert client.call("GET", f"/instances/move/{target}/")["move"]["state"] == "done"
    client.call("DELETE", f"/instances/{target}/", {})
    client.wait_until(target, "gone")
    assert not list((stack.directory / "agents").rglob("*.work"))
    assert stack.manage("ledger_check")
