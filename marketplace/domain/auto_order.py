"""The order in which offers are shown when nobody asks for another: value x reliability squared x fit.

*Value* is DLPerf per dollar. *Reliability* is the lower quantile of the machine's reliability, what it has proven; it
counts twice because the work in flight is lost with the machine. *Fit* says how much of the offer is of use to the
request: ``size_fit`` x ``time_fit``. The same formula exists as SQL in marketplace/search_columns.py.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

SECONDS_WANTED = 86_400.0
"""An offer should last for a day, or for as long as the request says where that is less."""
MOST_GPUS = 1_000_000.0
"""Whoever asks for more gets nothing anyway, and no number is too great for the arithmetic of the database."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The part of a request that offers can fit more or less. ``gpus`` is None where any number will do."""

    gpus: float | None = None
    seconds: float = SECONDS_WANTED


NOTHING_ASKED = Asked()


@dataclass(frozen=True, slots=True)
class Bound:
    """A condition of a request as far as it matters here."""

    field: str
    operator: str
    value: object


def asked_by(bounds: Iterable[Bound]) -> Asked:
    """The fewest GPUs and the shortest time that satisfy a request with these conditions."""
    told = list(bounds)
    gpus = max((_least_count(bound) for bound in told if bound.field == "num_gpus"), default=0.0)
    seconds = max((_least(bound) for bound in told if bound.field == "duration"), default=0.0)
    return Asked(
        gpus=min(gpus, MOST_GPUS) if gpus >= 1 else None,
        seconds=min(max(seconds, 1.0), SECONDS_WANTED) if seconds > 0 else SECONDS_WANTED,
    )


def size_fit(num_gpus: int, asked: Asked) -> float:
    """1 for as many GPUs as were asked for; GPUs beyond that are worth half."""
    return 1.0 if asked.gpus is None else (1.0 + asked.gpus / num_gpus) / 2.0


def time_fit(duration_seconds: float, asked: Asked) -> float:
    """1 for an offer that lasts long enough; the part that it lasts for one that ends sooner."""
    return min(max(duration_seconds / asked.seconds, 0.0), 1.0)


def score(value: float | None, reliability_lower: float, fit: float) -> float | None:
    """What ``auto`` sorts by, the greatest first. None where there is no price."""
    return None if value is None else value * reliability_lower * reliability_lower * fit


def _least_count(bound: Bound) -> float:
    least = _least(bound)
    return math.floor(least) + 1.0 if bound.operator == "gt" and least else float(math.ceil(least))


def _least(bound: Bound) -> float:
    """The least value that the condition allows; 0 where it sets no limit."""
    values = bound.value if bound.operator == "in" and isinstance(bound.value, tuple) else (bound.value,)
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    return min(numbers, default=0.0) if bound.operator in ("eq", "gt", "gte", "in") else 0.0
