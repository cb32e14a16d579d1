"""The earnings estimator: what it rests on, when it says nothing, and that no host can be made out."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from billing.services import settle_running
from hosting.domain.earning_estimate import LEAST_HOSTS, LEAST_MACHINES, Sample, estimate
from hosting.estimates import earning_estimate
from hosting.models import MachineYield
from hosting.services.listing import listing_set
from hosting.services.yields import yields_compute, yields_refresh
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0

DAY = timedelta(days=1)
DOLLAR = 1_000_000

SAMPLES = st.lists(
    st.builds(
        Sample,
        host_id=st.integers(1, 5),
        gpus=st.sampled_from([1, 2, 4]),
        days=st.floats(0.5, 30),
        earned_micros=st.integers(0, 1000 * DOLLAR),
        rented_gpu_hours=st.sampled_from([0.0, 40.0, 500.0]),
    ),
    max_size=20,
)


def sample(host: int, dollars: int, gpus: int = 2, hours: float = 100.0) -> Sample:
    return Sample(host, gpus, days=10.0, earned_micros=dollars * DOLLAR, rented_gpu_hours=hours)


def test_quartiles_of_machines_with_as_many_gpus() -> None:
    others = [sample(9, 500, gpus=8), sample(9, 0, hours=0.0)]
    found = estimate([sample(1, 10), sample(2, 20), sample(3, 30), sample(3, 40), *others], 2)
    assert found is not None
    assert (found.low_micros, found.median_micros, found.high_micros) == (1_750_000, 2_500_000, 3_250_000)
    assert (found.machines, found.hosts, found.unrented, found.same_count) == (4, 3, 1, True)
    assert found.month_micros == (52_500_000, 75_000_000, 97_500_000)
    assert round(found.occupancy, 3) == 0.208  # 100 of 480 GPU-hours


def test_others_stand_in_where_too_few_have_as_many() -> None:
    samples = [sample(host, 10 * host) for host in (1, 2, 3, 4)]
    found = estimate(samples, 1)
    assert found is not None
    assert (found.median_micros, found.same_count) == (1_250_000, False)


def test_nothing_is_told_where_most_machines_are_one_hosts() -> None:
    samples = [sample(1, 10), sample(2, 20), *[sample(3, 30)] * 4]
    assert estimate(samples, 2) is None
    assert estimate([*samples, sample(4, 10), sample(5, 10)], 2) is not None


@given(SAMPLES, st.sampled_from([1, 2, 4, 8]))
def test_nothing_is_told_of_too_few(samples: list[Sample], gpus: int) -> None:
    found = estimate(samples, gpus)
    if found is None:
        return
    assert found.hosts >= LEAST_HOSTS
    assert found.machines >= LEAST_MACHINES
    assert found.low_micros <= found.median_micros <= found.high_micros
    assert 0 <= found.occupancy <= 1


@pytest.mark.django_db
def test_the_estimate_comes_from_real_rentals(client: Client) -> None:
    facts = [market.inventory(2, simulated=False) for _ in range(4)]
    for number, each in enumerate(facts):
        host = market.user()
        machine = market.register(host, each)
        agent = market.TestAgent(machine)
        agent.report(T0)
        listing_set(machine_id=machine.pk, host=host, terms=market.terms(), now=T0)
        renter = market.user(dollars=1000)
        instance_rent(client=renter, offer_id=market.offer(agent, 2 if number else 1).pk, request=market.wish(), now=T0)
        agent.obey(T0)
    settle_running(now=T0 + 4 * DAY)
    assert yields_compute(now=T0 + 4 * DAY) == 4
    found = earning_estimate("RTX 3090", 2)
    assert found is not None
    whole = 2 * 24 * 500_000 * 3 // 4  # two GPUs at half a dollar, three quarters the host's
    assert whole <= found.median_micros <= whole * 1.01  # and a little for the disk
    assert (found.machines, found.rented_gpu_hours) == (4, 7 * 96.0)
    page = reverse("host_estimate")
    assert "$18.0" in client.get(f"{page}?gpu_name=RTX+3090&gpus=2").content.decode()
    assert "Not enough data." in client.get(f"{page}?gpu_name=GTX+1070&gpus=2").content.decode()
    assert client.get(f"{page}?gpu_name=Abacus&gpus=0").status_code == 422
    assert client.get(page).status_code == 200


@pytest.mark.django_db
def test_simulated_machines_count_in_the_demo_only(settings: Settings) -> None:
    hosts = [market.user() for _ in range(3)]
    for host in (*hosts, hosts[0]):
        agent = market.listed_machine(host, gpus=2)
        renter = market.user(dollars=1000)
        instance_rent(client=renter, offer_id=market.offer(agent, 2).pk, request=market.wish(), now=T0)
        agent.obey(T0)
    settle_running(now=T0 + 4 * DAY)
    for _ in range(2):
        assert yields_compute(now=T0 + 4 * DAY) == 4
    assert MachineYield.objects.count() == 4
    settings.DEMO = True
    found = earning_estimate("RTX 3090", 2)
    assert found is not None
    assert (found.machines, found.hosts) == (4, 3)
    settings.DEMO = False
    assert earning_estimate("RTX 3090", 2) is None


@pytest.mark.django_db
def test_visitors_find_the_estimator(client: Client) -> None:
    assert f'href="{reverse("host_estimate")}"' in client.get(reverse("search")).content.decode()
    assert client.get(reverse("host_estimate")).status_code == 200


@pytest.mark.django_db
def test_sums_are_renewed_when_they_are_half_an_hour_old() -> None:
    market.listed_machine()
    assert yields_refresh(now=T0 + DAY) == 1
    assert yields_refresh(now=T0 + DAY + timedelta(minutes=29)) == 0
    assert yields_refresh(now=T0 + DAY + timedelta(minutes=31)) == 1
    assert MachineYield.objects.get().computed_at == T0 + DAY + timedelta(minutes=31)
