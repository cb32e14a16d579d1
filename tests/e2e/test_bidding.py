"""Bids against each other, on-demand rentals and an idle job, with real containers on the real engine."""

import subprocess
from typing import Any

import pytest

from tests.plumbing.rental import Account, HostMachine, SshKeyPair, account, containers_of, host_machine, running_in
from tests.plumbing.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.engine]

OUTBID = {"actual_status": "stopped", "intended_status": "stopped", "cur_state": "stopped", "next_state": "stopped"}


@pytest.fixture(scope="module")
def client(stack: Stack) -> Account:
    return account(stack, dollars=100)


@pytest.fixture(scope="module")
def rival(stack: Stack) -> Account:
    return account(stack, dollars=100)


@pytest.fixture(scope="module")
def key(client: Account, tmp_path_factory: pytest.TempPathFactory) -> SshKeyPair:
    pair = SshKeyPair.make(tmp_path_factory.mktemp("ssh"))
    client.call("POST", "/ssh/", {"ssh_key": pair.public_line})
    return pair


def await_state(user: Account, contract: int, state: str) -> dict[str, Any]:
    """The instance once it is in this state of ours."""
    found: dict[str, Any] = {}

    def reached() -> bool:
        found.clear()
        found.update(user.instance(contract) or {})
        return found.get("state") == state

    user.stack.wait_for(reached, f"instance {contract} to be {state}")
    return found


def on(key: SshKeyPair, row: dict[str, Any], command: str) -> list[str]:
    """Output of a command over SSH, as words."""
    done = key.ssh(row["ssh_host"], int(row["ssh_port"]), command)
    assert done.returncode == 0, done
    return done.stdout.split()


def container_id(stack: Stack, contract: int) -> str:
    (name,) = containers_of(stack, contract)
    look = ["docker", "inspect", "--format", "{{.Id}}", name]
    return subprocess.run(look, capture_output=True, text=True, check=True).stdout.strip()


def test_bids_on_demand_and_an_idle_job_take_turns_on_one_gpu(
    stack: Stack, client: Account, rival: Account, key: SshKeyPair, demo_image: str
) -> None:
    machine = host_machine(stack, "turns", simulate="1x RTX 3090")
    job = {"machine": machine.machine_id, "price_gpu": 0.1, "image": demo_image, "args": ["bash"]}
    machine.host.call("PUT", "/machines/create_bids/", job)
    idle = f"J.{machine.machine_id}.0"
    stack.wait_for(lambda: running_in(stack, idle), "the idle job to run")

    onstart = "echo started >> /root/starts"
    first = client.rent(machine.machine_id, image=demo_image, onstart=onstart, price=0.1)
    row = client.wait_until(first, "running")
    assert (row["is_bid"], row["dph_base"]) == (True, 0.1)
    assert not running_in(stack, idle)
    assert on(key, row, "echo precious > /root/work; cat /root/starts") == ["started"]

    second = rival.rent(machine.machine_id, image=demo_image, price=0.2)
    lost = await_state(client, first, "outbid")
    assert {name: lost[name] for name in OUTBID} == OUTBID
    assert lost["status_msg"] == "Outbid by a higher bid of $0.20 per GPU and hour."
    assert lost["min_bid"] in (0.200001, 0.210001), "the same with the margin once the other runs"
    rival.wait_until(second, "running")
    assert len(containers_of(stack, first)) == 1

    raised = client.call("PUT", f"/instances/bid_price/{first}/", {"client_id": "me", "price": 0.3})
    assert raised["price"] == 0.3
    row = client.wait_until(first, "running")
    assert on(key, row, "cat /root/work; wc -l < /root/starts") == ["precious", "2"]
    assert (row["dph_base"], await_state(rival, second, "outbid")["dph_base"]) == (0.3, 0.2)

    third = rival.rent(machine.machine_id, image=demo_image)
    assert await_state(client, first, "outbid")["status_msg"] == "An on-demand rental took the GPUs."
    rival.wait_until(third, "running")
    rival.call("DELETE", f"/instances/{third}/", {})
    row = client.wait_until(first, "running")
    assert on(key, row, "cat /root/work; wc -l < /root/starts") == ["precious", "3"]
    assert (rival.instance(second) or {})["state"] == "outbid"

    client.call("DELETE", f"/instances/{first}/", {})
    rival.wait_until(second, "running")
    assert not running_in(stack, idle)
    rival.call("DELETE", f"/instances/{second}/", {})
    rival.wait_until(second, "gone")
    stack.wait_for(lambda: running_in(stack, idle), "the idle job to come back")
    machine.host.call("DELETE", f"/machines/{machine.machine_id}/defjob/", {})
    stack.wait_for(lambda: not running_in(stack, idle), "the idle job to end")
    assert stack.manage("ledger_check")


def test_a_bid_moves_to_another_gpu_with_its_disk(
    stack: Stack, client: Account, rival: Account, key: SshKeyPair, demo_image: str
) -> None:
    machine = host_machine(stack, "moves", simulate="2x RTX 3090")
    low = client.rent(machine.machine_id, image=demo_image, onstart="echo started >> /root/starts", price=0.1)
    row = client.wait_until(low, "running")
    on(key, row, "echo precious > /root/work")
    before = container_id(stack, low)
    high = rival.rent(machine.machine_id, image=demo_image, price=0.2)
    rival.wait_until(high, "running")

    fixed = rival.rent(machine.machine_id, image=demo_image)
    await_state(client, low, "outbid")
    rival.wait_until(fixed, "running")
    assert (rival.instance(high) or {})["state"] == "running", "one GPU was needed, so one bid has to leave"

    rival.call("DELETE", f"/instances/{high}/", {})
    row = client.wait_until(low, "running")
    assert container_id(stack, low) != before
    assert on(key, row, "cat /root/work; wc -l < /root/starts; hostname") == ["precious", "2", f"C.{low}"]
    for user, contract in ((client, low), (rival, fixed)):
        user.call("DELETE", f"/instances/{contract}/", {})
        user.wait_until(contract, "gone")
    assert left_over(stack, machine) == []


def left_over(stack: Stack, machine: HostMachine) -> list[str]:
    """Images and containers of this machine's agent that are still there."""
    owner = (stack.agent_state(machine.name) / "owner").read_text().strip()
    found = []
    for what in (["ps", "-a", "-q"], ["images", "-a", "-q"]):
        command = ["docker", *what, "--filter", f"label=spotyard.owner={owner}"]
        found += subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return found
