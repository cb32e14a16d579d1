"""What runs over all machines: one that makes trouble must not keep the others from being looked after."""

from datetime import datetime, timedelta

import pytest

from hosting import hooks
from hosting.gateways import presence
from hosting.models import Listing, Machine
from hosting.services.listing import listings_expire
from hosting.services.offline import machines_sweep_offline
from marketplace.domain.offers import cuda_number, driver_number
from marketplace.models import Offer
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> TestAgent:
    """The oldest machine, at which every change of the market fails."""
    agent = market.listed_machine()
    changed = hooks.market().machine_changed

    def fails_for_one(machine: Machine, now: datetime) -> None:
        if machine.pk == agent.machine.pk:
            raise ValueError("broken")
        changed(machine, now)

    monkeypatch.setattr(hooks.market(), "machine_changed", fails_for_one)
    return agent


def test_a_machine_that_can_not_be_marked_offline_holds_up_no_other(hostile: TestAgent) -> None:
    other = market.listed_machine()
    presence.sweep_beat(T0, 1000)
    assert machines_sweep_offline(now=T0 + timedelta(seconds=70)) == 1
    assert not Machine.objects.get(pk=other.machine.pk).online
    assert Machine.objects.get(pk=hostile.machine.pk).online


def test_a_listing_that_can_not_be_ended_holds_up_no_other(hostile: TestAgent) -> None:
    other = market.listed_machine()
    assert listings_expire(now=T0 + timedelta(days=91)) == 1
    assert list(Listing.objects.filter(active=True)) == [Listing.objects.get(machine=hostile.machine)]
    assert not Offer.objects.filter(machine=other.machine, retired_at=None).exists()


@pytest.mark.parametrize(
    ("version", "number"),
    [
        ("550.54.15", 550_054_015),
        ("535", 535_000_000),
        ("550.54.15.7", 550_054_015),
        ("²", 0),
        ("9" * 30, 0),
        ("550.", 0),
        ("", 0),
    ],
)
def test_only_a_version_is_a_driver_number(version: str, number: int) -> None:
    assert driver_number(version) == number


@pytest.mark.parametrize(("version", "number"), [("12.8", 12.8), ("12", 12.0), ("1e400", 0), ("nan", 0), ("٣", 0)])
def test_only_a_version_is_a_cuda_number(version: str, number: float) -> None:
    assert cuda_number(version) == number
