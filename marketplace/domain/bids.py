"""Bids between the client who places them and the auction that takes them in."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

BINDING = "The bid had just won, and others may have had to leave for it: it can be lowered once the instance runs."
"""Why a lower bid is refused."""


@dataclass(frozen=True, slots=True)
class NewBid:
    """What an instance bids from ``placed_at`` on, in micro-dollars per hour for all its GPUs."""

    instance_id: int
    micros_per_hour: int
    placed_at: datetime


def newest_bids(marks: Iterable[tuple[int, int | None, int | None, datetime]]) -> list[NewBid]:
    """The last bid of each instance among these marks of (id, instance id, bid, instant), by instance id.

    Marks without a bid say nothing here. A bid that only repeats the one before keeps its instant, and with it its
    place among equals.
    """
    newest: dict[int, NewBid] = {}
    for _, instance_id, micros, at in sorted(marks, key=lambda mark: mark[0]):
        if instance_id is None or micros is None:
            continue
        before = newest.get(instance_id)
        if before is None or before.micros_per_hour != micros:
            newest[instance_id] = NewBid(instance_id, micros, at)
    return [newest[instance_id] for instance_id in sorted(newest)]
