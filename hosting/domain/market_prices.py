"""What others ask for the same GPU."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_MACHINES = 3
"""Fewer say nothing about a market."""
HOURS_PER_MONTH = 730


@dataclass(frozen=True)
class PriceRange:
    """Quartiles over machines, in micro-dollars for a GPU and hour."""

    low: int
    median: int
    high: int
    machines: int


def price_range(prices: Sequence[int]) -> PriceRange | None:
    """Of the prices of ``LEAST_MACHINES`` machines or more; None for fewer. A quartile lies between prices asked."""
    if len(prices) < LEAST_MACHINES:
        return None
    low, median, high = (round(value) for value in statistics.quantiles(prices, n=4, method="inclusive"))
    return PriceRange(low, median, high, len(prices))


def host_part_micros(micros_per_gpu_hour: int, gpus: int, share_bps: int, *, hours: int = 1) -> int:
    """What the host gets of all GPUs rented at this price for so long, rounded down, in micro-dollars."""
    return micros_per_gpu_hour * gpus * hours * share_bps // 10_000
