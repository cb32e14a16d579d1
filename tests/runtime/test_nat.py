"""The networks that tests are run in: never two at one address, and nothing stays in the way of a later run."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.plumbing import nat as plumbing
from tests.plumbing.claims import claim
from tests.plumbing.nat import Nat

pytestmark = pytest.mark.e2e


@pytest.fixture
def number(nat: Nat) -> int:
    """The number of the next network that is made."""
    return int(nat.internet.split(".")[1]) + 1


@pytest.fixture
def foreign(number: int) -> Iterator[None]:
    """Something else of this machine has the network that would be next."""
    subprocess.run(["ip", "route", "add", "blackhole", f"10.{number}.2.0/24"], check=True)
    yield
    subprocess.run(["ip", "route", "delete", "blackhole", f"10.{number}.2.0/24"], check=True)


@pytest.mark.usefixtures("foreign")
def test_a_network_that_this_machine_has_already_is_passed_over(nat: Nat, number: int) -> None:
    with Nat() as other:
        assert other.internet not in {nat.internet, f"10.{number}.2.1"}


def test_what_a_killed_run_left_is_removed() -> None:
    left = Nat()
    left.__enter__()
    number = int(left.internet.split(".")[1])
    assert not claim(f"nat-{number}"), "its claim ends with the process"
    assert plumbing.is_free(number)
    assert left.host[-1] not in subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
