"""What a machine might earn, judged by what machines like it did."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

WINDOW_DAYS = 30
LEAST_DAYS = 3.0
"""Machines that are here for less tell nothing yet."""
LEAST_HOSTS = 3
"""Below, a figure would tell what one of them earns."""
LARGEST_HOST_SHARE = 0.5
"""Of the machines, likewise."""
LEAST_MACHINES = 4
LEAST_RENTED_GPU_HOURS = 100.0
DAYS_PER_MONTH = 30


@dataclass(frozen=True)
class Sample:
    """One machine in the window: ``earned_micros`` is its host's part, in micro-dollars, of all kinds of use."""

    host_id: int
    gpus: int
    days: float
    earned_micros: int
    rented_gpu_hours: float

    @property
    def micros_per_gpu_day(self) -> float:
        """What one of its GPUs brought in a day, rented or not."""
        return self.earned_micros / self.gpus / self.days

    @property
    def occupancy(self) -> float:
        """0..1: the share of its GPU-time that was rented."""
        return min(1.0, self.rented_gpu_hours / (self.gpus * self.days * 24))


@dataclass(frozen=True)
class Estimate:
    """Quartiles in micro-dollars a day, for all ``gpus`` together, of ``machines`` that were rented.

    ``same_count``: they have as many GPUs; else any number, and what they earned is scaled. ``unrented`` machines like
    them were not rented at all and are not in the quartiles.
    """

    gpus: int
    low_micros: int
    median_micros: int
    high_micros: int
    occupancy: float
    machines: int
    hosts: int
    rented_gpu_hours: float
    unrented: int
    same_count: bool

    @property
    def month_micros(self) -> tuple[int, int, int]:
        """The same for DAYS_PER_MONTH days."""
        return tuple(n * DAYS_PER_MONTH for n in (self.low_micros, self.median_micros, self.high_micros))  # type: ignore[return-value]  # three


def estimate(samples: Sequence[Sample], gpus: int) -> Estimate | None:
    """What ``gpus`` GPUs of the samples' model may earn; None where too few machines tell it.

    Machines with the same number of GPUs if there are enough of them, or else all.
    """
    settled = [sample for sample in samples if sample.days >= LEAST_DAYS and sample.gpus > 0]
    alike = [sample for sample in settled if sample.gpus == gpus]
    return _of(alike, gpus, same_count=True) or _of(settled, gpus, same_count=False)


def _of(samples: Sequence[Sample], gpus: int, *, same_count: bool) -> Estimate | None:
    rented = [sample for sample in samples if sample.rented_gpu_hours > 0]
    by_host = Counter(sample.host_id for sample in rented)
    hosts, largest = len(by_host), max(by_host.values(), default=0)
    hours = sum(sample.rented_gpu_hours for sample in rented)
    if len(rented) < LEAST_MACHINES or hosts < LEAST_HOSTS or hours < LEAST_RENTED_GPU_HOURS:
        return None
    if largest > LARGEST_HOST_SHARE * len(rented):
        return None
    low, median, high = quantiles([sample.micros_per_gpu_day for sample in rented], n=4, method="inclusive")
    return Estimate(
        gpus=gpus,
        low_micros=round(low * gpus),
        median_micros=round(median * gpus),
        high_micros=round(high * gpus),
        occupancy=sum(sample.occupancy for sample in rented) / len(rented),
        machines=len(rented),
        hosts=hosts,
        rented_gpu_hours=hours,
        unrented=len(samples) - len(rented),
        same_count=same_count,
    )
