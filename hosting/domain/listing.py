"""What a host may ask for a machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from hosting.domain.sandboxes import NONE, sandbox_problem

MAX_GPU_MICROS_PER_HOUR = 1_000_000_000
MAX_STORAGE_MICROS_PER_GB_MONTH = 100_000_000
MAX_TRAFFIC_MICROS_PER_GB = 100_000_000
LONGEST = timedelta(days=3 * 365)


@dataclass(frozen=True, kw_only=True)
class ListingTerms:
    """Prices in integer micro-dollars; ``end_at`` is the last moment of any rental made under these terms."""

    gpu_micros_per_hour: int
    storage_micros_per_gb_month: int
    inet_up_micros_per_gb: int
    inet_down_micros_per_gb: int
    min_gpus: int
    end_at: datetime
    min_bid_micros_per_gpu_hour: int = 0
    sandbox: str = NONE
    """What guests run in: hosting.domain.sandboxes."""


def problems(terms: ListingTerms, *, gpu_count: int, sandboxes: Mapping[str, str], now: datetime) -> dict[str, str]:
    """A sentence for each field that makes no sense on a machine with so many GPUs and these sandboxes; empty when all
    is well."""
    found = {}
    if not 0 < terms.gpu_micros_per_hour <= MAX_GPU_MICROS_PER_HOUR:
        found["gpu_micros_per_hour"] = "The price of a GPU must be more than $0 and at most $1000 per hour."
    if not 0 <= terms.storage_micros_per_gb_month <= MAX_STORAGE_MICROS_PER_GB_MONTH:
        found["storage_micros_per_gb_month"] = "The storage price must be between $0 and $100 per GB and month."
    for name in ("inet_up_micros_per_gb", "inet_down_micros_per_gb"):
        if not 0 <= getattr(terms, name) <= MAX_TRAFFIC_MICROS_PER_GB:
            found[name] = "The traffic price must be between $0 and $100 per GB."
    bid_problem = min_bid_problem(
        terms.min_bid_micros_per_gpu_hour, on_demand_micros_per_hour=terms.gpu_micros_per_hour
    )
    if bid_problem:
        found["min_bid_micros_per_gpu_hour"] = bid_problem
    if not 1 <= terms.min_gpus <= gpu_count:
        found["min_gpus"] = f"The minimum number of GPUs must be between 1 and the machine's {gpu_count}."
    if no_sandbox := sandbox_problem(terms.sandbox, sandboxes):
        found["sandbox"] = no_sandbox
    late_or_far = end_problem(terms.end_at, now)
    if late_or_far:
        found["end_at"] = late_or_far
    return found


def min_bid_problem(micros_per_gpu_hour: int, *, on_demand_micros_per_hour: int) -> str:
    """Why this can't be the least bid for a GPU that has this price on demand; empty when it can."""
    if 0 <= micros_per_gpu_hour <= on_demand_micros_per_hour:
        return ""
    return "The minimum bid must be between $0 and the on-demand price."


def end_problem(end_at: datetime, now: datetime) -> str:
    """Why no rental can be promised until ``end_at``; empty when it can."""
    if end_at <= now:
        return "The end date must be in the future."
    return "The end date must be within three years." if end_at > now + LONGEST else ""
