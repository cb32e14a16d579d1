"""What others ask for the same GPU, and what a price brings."""

from hypothesis import given
from hypothesis import strategies as some

from hosting.domain.market_prices import LEAST_MACHINES, host_part_micros, price_range

_prices = some.lists(some.integers(1, 10**9), max_size=40)


@given(prices=_prices)
def test_half_of_the_prices_lie_between_the_quartiles(prices: list[int]) -> None:
    found = price_range(prices)
    if found is None:
        assert len(prices) < LEAST_MACHINES
        return
    assert min(prices) <= found.low <= found.median <= found.high <= max(prices)
    assert found.machines == len(prices)
    for limit, share in ((found.low, 0.25), (found.median, 0.5), (found.high, 0.75)):
        assert sum(price <= limit + 1 for price in prices) >= share * (len(prices) - 1)
        assert sum(price >= limit - 1 for price in prices) >= (1 - share) * (len(prices) - 1)


@given(prices=_prices)
def test_the_order_of_machines_does_not_matter(prices: list[int]) -> None:
    assert price_range(prices) == price_range(sorted(prices, reverse=True))


def test_the_hosts_part_is_rounded_down() -> None:
    assert host_part_micros(500_000, 4, 7_500) == 1_500_000
    assert host_part_micros(1, 1, 7_500) == 0
    assert host_part_micros(500_000, 4, 7_500, hours=730) == 1_095_000_000
