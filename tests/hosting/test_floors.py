"""The host's floors under bids: what may be set, by whom, and which of them counts."""

from typing import Any

import pytest

from hosting import hooks
from hosting.errors import HostingError
from hosting.models import IdleJob, Listing, Machine
from hosting.selectors import bid_floor_micros, idle_floor_micros
from hosting.services.idle_jobs import idle_job_remove, idle_job_set
from hosting.services.listing import listing_end, listing_set, min_bid_set
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Machines of which the market was told that they changed."""
    ids: list[int] = []
    monkeypatch.setattr(hooks.market(), "machine_changed", lambda machine, _now: ids.append(machine.pk))
    return ids


@pytest.fixture
def agent() -> TestAgent:
    return market.listed_machine()


def set_job(agent: TestAgent, **values: Any) -> IdleJob:
    asked: dict[str, Any] = {"image": "ubuntu", "args": ["bash"], "price_micros_per_gpu_hour": 100_000} | values
    return idle_job_set(machine_id=agent.machine.pk, host=agent.machine.host, now=T0, **asked)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"image": ""}, "image"),
        ({"image": "Not An Image"}, "image"),
        ({"image": "ubuntu\0"}, "image"),
        ({"image": "a" * 2000}, "image"),
        ({"args": ["x"] * 257}, "args"),
        ({"args": ["x" * 32_769]}, "args"),
        ({"args": ["a\0b"]}, "args"),
        ({"args": ["x" * 20_000] * 2}, "args"),
        ({"price_micros_per_gpu_hour": -1}, "price_micros_per_gpu_hour"),
        ({"price_micros_per_gpu_hour": 500_001}, "price_micros_per_gpu_hour"),
        ({"price_micros_per_gpu_hour": 10**30}, "price_micros_per_gpu_hour"),
    ],
)
def test_nonsense_is_refused_by_field(agent: TestAgent, values: dict[str, Any], field: str) -> None:
    with pytest.raises(HostingError) as refused:
        set_job(agent, **values)
    assert (refused.value.code, refused.value.field) == ("invalid_terms", field)
    assert not IdleJob.objects.exists()


@pytest.mark.parametrize("foreign", [True, False])
def test_only_the_own_registered_machine(agent: TestAgent, foreign: bool) -> None:
    pk = agent.machine.pk if foreign else 10**9
    host = market.user() if foreign else agent.machine.host
    job = {"image": "ubuntu", "args": [], "price_micros_per_gpu_hour": 1}
    for service, values in ((idle_job_set, job), (idle_job_remove, {}), (min_bid_set, {"micros_per_gpu_hour": 1})):
        with pytest.raises(HostingError) as refused:
            service(machine_id=pk, host=host, now=T0, **values)
        assert (refused.value.code, refused.value.status) == ("no_such_machine", 404)
    assert not IdleJob.objects.exists()


def test_the_floor_is_the_higher_of_minimum_bid_and_idle_job(agent: TestAgent) -> None:
    pk, host = agent.machine.pk, agent.machine.host

    def floors() -> tuple[int, int]:
        machine = Machine.objects.get(pk=pk)
        return idle_floor_micros(machine), bid_floor_micros(machine)

    assert floors() == (0, 0)
    min_bid_set(machine_id=pk, host=host, micros_per_gpu_hour=200_000, now=T0)
    assert floors() == (0, 200_000)
    set_job(agent)
    assert floors() == (100_000, 200_000)
    set_job(agent, price_micros_per_gpu_hour=500_000)
    assert floors() == (500_000, 500_000)
    listing_end(machine_id=pk, host=host, now=T0)
    set_job(agent, price_micros_per_gpu_hour=900_000)  # no on-demand price to compare with
    assert floors() == (900_000, 900_000)


def test_no_on_demand_price_below_the_floor(agent: TestAgent) -> None:
    set_job(agent, price_micros_per_gpu_hour=400_000)
    pk, host = agent.machine.pk, agent.machine.host
    with pytest.raises(HostingError) as refused:
        listing_set(machine_id=pk, host=host, terms=market.terms(gpu_micros_per_hour=399_999), now=T0)
    assert refused.value.field == "gpu_micros_per_hour"
    listing_set(machine_id=pk, host=host, terms=market.terms(gpu_micros_per_hour=400_000), now=T0)


def test_a_minimum_bid_needs_a_listing_and_sense(agent: TestAgent, told: list[int]) -> None:
    pk, host = agent.machine.pk, agent.machine.host
    told.clear()
    for micros in (-1, 500_001):
        with pytest.raises(HostingError) as refused:
            min_bid_set(machine_id=pk, host=host, micros_per_gpu_hour=micros, now=T0)
        assert refused.value.field == "min_bid_micros_per_gpu_hour"
    for _ in range(2):
        min_bid_set(machine_id=pk, host=host, micros_per_gpu_hour=500_000, now=T0)
    assert told == [pk]
    assert Listing.objects.get().min_bid_micros_per_gpu_hour == 500_000
    listing_end(machine_id=pk, host=host, now=T0)
    with pytest.raises(HostingError) as refused:
        min_bid_set(machine_id=pk, host=host, micros_per_gpu_hour=1, now=T0)
    assert (refused.value.code, refused.value.status) == ("not_listed", 409)
