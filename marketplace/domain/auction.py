"""Who runs on a machine's GPUs: on-demand contracts first, then the bids that are worth most together.

Pure and deterministic: the same claims give the same outcome and the same quotes, in whatever order they come.

- On-demand contracts that run stay. Waiting ones start in the order they asked, each if its GPUs can be freed from
  bids. They never displace each other, and one that does not fit does not hold up a smaller one behind it.
- Bids share what is left: the set worth most runs (a 0/1 knapsack, solved exactly). A bid that runs counts with a
  small margin, so that cents don't thrash containers. Ties go to the bid that runs, then to the earlier one, then to
  the lower number.
- Under every bid lies a floor, the least the host takes for a GPU.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

BPS = 10_000


class Kind(Enum):
    """What a claim is."""

    ON_DEMAND = "on_demand"
    BID = "bid"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A contract that wants ``num_gpus`` GPUs now. ``holds`` are the GPUs it runs on; empty while it waits.

    ``price`` is a bid in micro-dollars per hour for all its GPUs (0 on demand), ``placed_at`` when it was asked or bid.
    ``prefers`` are the GPUs it ran on before.
    """

    claim_id: int
    kind: Kind
    num_gpus: int
    placed_at: datetime
    price: int = 0
    holds: frozenset[int] = frozenset()
    prefers: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Policy:
    """``increment_bps``: what a rival adds to a running bid. ``floor``: the least bid, micro-dollars per GPU-hour."""

    increment_bps: int = 500
    floor: int = 0


@dataclass(frozen=True)
class Outcome:
    """``runs``: GPUs of each claim that runs from now on. ``displaced``: claims that ran and must stop.

    ``quotes[k]``: the least bid, in micro-dollars per hour for all k GPUs, at which one more contract for k GPUs would
    run at once; None where no price would do, because on-demand contracts hold too many GPUs.
    """

    runs: dict[int, frozenset[int]]
    displaced: frozenset[int]
    quotes: dict[int, int | None] = field(default_factory=dict)


def clear(gpus: Sequence[int], claims: Iterable[Claim], policy: Policy) -> Outcome:
    """Decide who runs on these (healthy) GPUs."""
    known = list(claims)
    on_demand = _on_demand(len(gpus), [claim for claim in known if claim.kind is Kind.ON_DEMAND])
    capacity = len(gpus) - sum(claim.num_gpus for claim in on_demand)
    offered = [claim for claim in known if claim.kind is Kind.BID and claim.price >= policy.floor * claim.num_gpus]
    bids = contenders(offered, capacity, policy)
    table = _best_values(bids, capacity, policy)
    winners = on_demand + _chosen(bids, capacity, table)
    runs = _assign(gpus, winners)
    displaced = frozenset(c.claim_id for c in known if c.holds and c.claim_id not in runs)
    return Outcome(runs, displaced, _quotes(len(gpus), capacity, len(bids), policy, table[0]))


def _on_demand(gpu_count: int, claims: list[Claim]) -> list[Claim]:
    """Those that run, and of the waiting, in the order they asked, each that still fits."""
    started = [claim for claim in claims if claim.holds]
    left = gpu_count - sum(claim.num_gpus for claim in started)
    for claim in sorted((c for c in claims if not c.holds), key=lambda c: (c.placed_at, c.claim_id)):
        if claim.num_gpus <= left:
            started.append(claim)
            left -= claim.num_gpus
    return started


def _preference(bid: Claim) -> tuple[bool, datetime, int]:
    return (not bid.holds, bid.placed_at, bid.claim_id)


def _value(bid: Claim, policy: Policy) -> int:
    """What the bid is worth to the auction, in micro-dollars per hour x BPS."""
    return bid.price * (BPS + (policy.increment_bps if bid.holds else 0))


def contenders(bids: Sequence[Claim], capacity: int, policy: Policy) -> list[Claim]:
    """The bids that can matter, most preferred first: of each size only as many of the best as can fit."""
    by_size: dict[int, list[Claim]] = {}
    for bid in bids:
        if bid.num_gpus <= capacity:
            by_size.setdefault(bid.num_gpus, []).append(bid)
    best = [
        bid
        for size, same in by_size.items()
        for bid in sorted(same, key=lambda b: (-_value(b, policy), _preference(b)))[: capacity // size]
    ]
    return sorted(best, key=_preference)


def _weights(bids: Sequence[Claim], policy: Policy) -> list[int]:
    """Values with a unique last part that breaks every tie the same way: no two sets of bids weigh the same.

    The last part makes a set with a more preferred bid heavier than any set of equal value without it.
    """
    count = len(bids)
    return [(_value(bid, policy) << count) | (1 << (count - 1 - rank)) for rank, bid in enumerate(bids)]


def _best_values(bids: Sequence[Claim], capacity: int, policy: Policy) -> list[list[int]]:
    """Row i, column c: the greatest weight that bids i, i+1, ... reach on c GPUs."""
    rows = [[0] * (capacity + 1)]
    for bid, weight in zip(reversed(bids), reversed(_weights(bids, policy)), strict=True):
        without, size = rows[-1], bid.num_gpus
        rows.append([max(v, weight + without[c - size]) if c >= size else v for c, v in enumerate(without)])
    return rows[::-1]


def _chosen(bids: Sequence[Claim], capacity: int, table: list[list[int]]) -> list[Claim]:
    chosen = []
    left = capacity
    for number, bid in enumerate(bids):
        if table[number][left] != table[number + 1][left]:
            chosen.append(bid)
            left -= bid.num_gpus
    return chosen


def _quotes(gpu_count: int, capacity: int, bid_count: int, policy: Policy, best: list[int]) -> dict[int, int | None]:
    """One table answers all sizes: a newcomer must outweigh what its GPUs are worth to the others."""
    quotes: dict[int, int | None] = {}
    for size in range(1, gpu_count + 1):
        if size > capacity:
            quotes[size] = None
            continue
        lost = best[capacity] - best[capacity - size]
        quotes[size] = max(policy.floor * size, lost // (BPS << bid_count) + 1)
    return quotes


def _assign(gpus: Sequence[int], winners: list[Claim]) -> dict[int, frozenset[int]]:
    """Who runs keeps its GPUs; who starts gets those it had before where free, then the first free ones."""
    runs = {claim.claim_id: claim.holds for claim in winners if claim.holds}
    taken = {gpu for held in runs.values() for gpu in held}
    free = [gpu for gpu in gpus if gpu not in taken]
    starting = sorted((c for c in winners if not c.holds), key=lambda claim: not claim.prefers)
    for claim in starting:
        by_preference = sorted(free, key=lambda gpu: gpu not in claim.prefers)
        runs[claim.claim_id] = frozenset(by_preference[: claim.num_gpus])
        free = [gpu for gpu in free if gpu not in runs[claim.claim_id]]
    return runs
