"""Who gets the free GPUs of a machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Waiting:
    """A contract that should run and holds no GPUs. ``preferred`` are the GPUs it ran on before."""

    instance_id: int
    num_gpus: int
    since: datetime
    preferred: frozenset[int] = frozenset()


def place(free: Sequence[int], waiting: Sequence[Waiting]) -> dict[int, list[int]]:
    """GPU ids for each waiting contract that can start now, in the order they asked.

    One that needs more than is free does not hold up a smaller one behind it. Each gets the GPUs it had before where
    they are free, then the first free ones. ``free`` is in index order; the result keeps that order.
    """
    left = list(free)
    placed: dict[int, list[int]] = {}
    for claim in sorted(waiting, key=lambda w: (w.since, w.instance_id)):
        if claim.num_gpus > len(left):
            continue
        by_preference = sorted(left, key=lambda gpu: (gpu not in claim.preferred, left.index(gpu)))
        chosen = set(by_preference[: claim.num_gpus])
        placed[claim.instance_id] = [gpu for gpu in left if gpu in chosen]
        left = [gpu for gpu in left if gpu not in chosen]
    return placed
