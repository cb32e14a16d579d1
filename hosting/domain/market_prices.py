"""What others ask for the same GPU."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hosting.domain.earning_estimate import LARGEST_HOST_SHARE, LEAST_HOSTS, LEAST_MACHINES

HOURS_PER_MONTH = 730


@dataclass(frozen=True)
class Asked:
    """What one host asks for a GPU and hour of one of its machines, in micro-dollars."""

    host_id: int
    micros: int


@dataclass(frozen=True)
class PriceRange:
    """Quartiles over machines, in micro-dollars for a GPU and hour."""

    low: int
    median: int
    high: int
    machines: int


def price_range(asked: Sequence[Asked]) -> PriceRange | None:
    """A quartile lies between prices asked. None for too few machines or hosts, and where most are one host's: that is
    no market, by the measure of the estimator of earnings."""
    by_host = Counter(each.host_id for each in asked)
    if len(asked) < LEAST_MACHINES or len(by_host) < LEAST_HOSTS:
        return None
    if max(by_host.values()) > LARGEST_HOST_SHARE * len(asked):
        return None
    prices = [each.micros for each in asked]
    low, median, high = (round(value) for value in statistics.quantiles(prices, n=4, method="inclusive"))
    return PriceRange(low, median, high, len(prices))


def host_part_micros(micros_per_gpu_hour: int, gpus: int, share_bps: int, *, hours: int = 1) -> int:
    """What the host gets of all GPUs rented at this price for so long, rounded down, in micro-dollars."""
    return micros_per_gpu_hour * gpus * hours * share_bps // 10_000
