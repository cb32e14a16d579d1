"""What others ask for the same GPU, and what a price brings."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as some

from hosting.domain.earning_estimate import LARGEST_HOST_SHARE, LEAST_HOSTS, LEAST_MACHINES
from hosting.domain.market_prices import Asked, host_part_micros, price_range
from hosting.market_prices import market_prices
from hosting.services.suspension import machine_suspend
from marketplace.models import User
from tests.plumbing import market
from tests.plumbing.market import T0

_asked = some.lists(some.builds(Asked, some.integers(1, 6), some.integers(1, 10**9)), max_size=40)


@given(asked=_asked)
def test_half_of_the_prices_lie_between_the_quartiles(asked: list[Asked]) -> None:
    found, prices = price_range(asked), [each.micros for each in asked]
    by_host = Counter(each.host_id for each in asked)
    if found is None:
        is_one_hosts = max(by_host.values(), default=0) > LARGEST_HOST_SHARE * len(asked)
        assert len(asked) < LEAST_MACHINES or len(by_host) < LEAST_HOSTS or is_one_hosts
        return
    assert len(by_host) >= LEAST_HOSTS
    assert min(prices) <= found.low <= found.median <= found.high <= max(prices)
    assert found.machines == len(prices)
    for limit, share in ((found.low, 0.25), (found.median, 0.5), (found.high, 0.75)):
        assert sum(price <= limit + 1 for price in prices) >= share * (len(prices) - 1)
        assert sum(price >= limit - 1 for price in prices) >= (1 - share) * (len(prices) - 1)


@given(asked=_asked)
def test_the_order_of_machines_does_not_matter(asked: list[Asked]) -> None:
    assert price_range(asked) == price_range(sorted(asked, key=lambda each: -each.micros))


def test_the_hosts_part_is_rounded_down() -> None:
    assert host_part_micros(500_000, 4, 7_500) == 1_500_000
    assert host_part_micros(1, 1, 7_500) == 0
    assert host_part_micros(500_000, 4, 7_500, hours=730) == 1_095_000_000


@pytest.mark.django_db
def test_a_hosts_own_machines_and_suspended_ones_are_no_market() -> None:
    def listed(host: User, dollars: float) -> int:
        return market.listed_machine(host, gpu_micros_per_hour=int(dollars * 1_000_000)).machine.pk

    hosts = [market.user() for _ in range(3)]
    mine = market.listed_machine().machine
    for host, dollars in zip([*hosts, mine.host, mine.host], (0.2, 0.3, 0.4, 9, 9), strict=True):
        listed(host, dollars)
    assert market_prices(mine) is None
    banned = listed(hosts[2], 0.5)
    found = market_prices(mine)
    assert found is not None
    assert (found.machines, found.median) == (4, 350_000)
    machine_suspend(machine_id=banned, actor=None, reason="Stolen.", now=T0)
    assert market_prices(mine) is None
