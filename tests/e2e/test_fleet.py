"""The fleet drill against the real server: machines come, are rented and go on where they were at the next drill."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plumbing.rental import Account, account
from tests.plumbing.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.engine]

ROOT = Path(__file__).resolve().parent.parent.parent
MACHINES = 5


def drill(stack: Stack, host: Account, renter: Account, state: Path, *, seconds: int, **options: int) -> str:
    """What a short drill prints; ``options`` as the command has them."""
    command = [sys.executable, "-m", "scripts.fleet", "--server", stack.url, "--state", str(state)]
    options |= {"machines": MACHINES, "seconds": seconds}
    command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    environment = os.environ | {"SPOTYARD_HOST_KEY": host.api_key, "SPOTYARD_CLIENT_KEYS": renter.api_key}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_drill_rents_and_the_next_one_goes_on_with_its_machines(stack: Stack, tmp_path: Path) -> None:
    host, renter = account(stack), account(stack, dollars=100)
    first = drill(stack, host, renter, tmp_path, seconds=40, clients=3, churn=0)
    assert re.search(rf"{MACHINES} machines online", first), first
    assert re.search(r"rent to running \d+/\d+ ms", first), first
    assert "machine refused" not in first, first
    machines = host.call("GET", "/machines/?owner=me")["machines"]
    assert len(machines) == MACHINES
    assert all(machine["simulated"] for machine in machines)
    left = renter.call("GET", "/instances/?owner=me")["instances"]
    assert {row["state"] for row in left} <= {"destroying"}, "clients clear up behind them"
    again = drill(stack, host, renter, tmp_path, seconds=8, churn=0)
    assert "machine refused" not in again, again
    assert [row["id"] for row in host.call("GET", "/machines/?owner=me")["machines"]] == [row["id"] for row in machines]


def test_a_busy_drill_meets_no_refusal_of_its_machines(stack: Stack, tmp_path: Path) -> None:
    host, renter = account(stack), account(stack, dollars=100)
    told = drill(stack, host, renter, tmp_path, seconds=15, seed=2, churn=1000)
    assert re.search(r"\d+  (offline|reboot)$", told, re.MULTILINE), told
    assert re.search(r"telemetry \d+/\d+ ms", told), told
    for wrong in ("machine refused", "error: sync", "error: telemetry"):
        assert wrong not in told, told


def test_without_an_account_it_says_what_is_missing(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPOTYARD_")}
    command = [sys.executable, "-m", "scripts.fleet", "--server", "http://127.0.0.1:9", "--state", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "fleet: Set SPOTYARD_HOST_KEY to the API key of the account that gets the machines.\n",
    )
