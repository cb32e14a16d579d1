"""Who runs on a machine's GPUs: on-demand contracts first, then the bids that are worth most together.

Pure and deterministic: the same claims give the same outcome and the same quotes, in whatever order they come.

- On-demand contracts that run stay. Waiting ones start in the order they asked, each if its GPUs can be freed from
  bids. They never displace each other, and one that does not fit does not hold up a smaller one behind it.
- Bids share what is left: the set worth most runs (a 0/1 knapsack, solved exactly). A bid that runs counts with a
  small margin, so that cents don't thrash containers. Ties go to the bid that runs, then to the earlier one, then to
  the lower number.
- Under every bid lies a floor, the least the host takes for a GPU.

Where winners run is a second question, answered by marketplace/domain/assignment.py.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

BPS = 10_000
LEAST_FLOOR = 1_000
"""A tenth of a cent per GPU and hour: less than that is a slip of the finger, so no machine's floor is lower."""


class Kind(Enum):
    """What a claim is."""

    ON_DEMAND = "on_demand"
    BID = "bid"


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A contract that wants ``num_gpus`` GPUs now. ``holds`` are the GPUs it runs on; empty while it waits.

    ``price`` is a bid in micro-dollars per hour for all its GPUs (0 on demand), ``placed_at`` when it was asked or bid.
    """

    claim_id: int
    kind: Kind
    num_gpus: int
    placed_at: datetime
    price: int = 0
    holds: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Policy:
    """``increment_bps``: what a rival adds to a running bid. ``floor``: the least bid, micro-dollars per GPU-hour."""

    increment_bps: int = 500
    floor: int = 0


@dataclass(frozen=True)
class Outcome:
    """``winners`` run from now on, on-demand contracts first. ``displaced``: claims that must leave the GPUs they hold.

    A claim can be both: a bid that wins, but holds a GPU that has become unusable, has to move to others.

    ``quotes[k]``: the least bid, in micro-dollars per hour for all k GPUs, at which one more contract for k GPUs would
    run at once; None where no price would do, because on-demand contracts hold too many GPUs.
    """

    winners: tuple[Claim, ...]
    displaced: frozenset[int]
    quotes: dict[int, int | None] = field(default_factory=dict)

    @property
    def winner_ids(self) -> frozenset[int]:
        """Ids of the winners."""
        return frozenset(claim.claim_id for claim in self.winners)


@dataclass(frozen=True)
class _Contest:
    """The bids that can matter, and what can be reached with those from the i-th on.

    ``table[i][c]`` is the greatest weight that bids i, i+1, ... reach on c GPUs; weights are values x 2**``tie_bits``
    with a last part that makes every tie go the right way. Without tie bits all bids run, and one row is enough.
    """

    bids: list[Claim]
    table: list[list[int]]
    tie_bits: int

    @property
    def best_weights(self) -> list[int]:
        return self.table[0]


def clear(gpus: Collection[int], claims: Iterable[Claim], policy: Policy) -> Outcome:
    """Decide who runs on these (healthy) GPUs."""
    known = list(claims)
    usable = frozenset(gpus)
    on_demand, capacity = _on_demand(usable, _of_kind(Kind.ON_DEMAND, known))
    contest = _contest(_offered(known, usable, policy), capacity, policy)
    winners = (*on_demand, *_chosen(contest, capacity))
    won = {claim.claim_id: claim for claim in winners}
    displaced = frozenset([c.claim_id for c in known if c.holds and _leaves(won.get(c.claim_id))])
    return Outcome(winners, displaced, _quotes(len(usable), capacity, policy, contest))


def quote_for(gpus: Collection[int], claims: Iterable[Claim], policy: Policy, claim_id: int) -> int | None:
    """The least bid at which this contract, already among the claims as a bid, would run, or go on running.

    In micro-dollars per hour for all its GPUs; None where no price would do. It beats every tie, so it may ask a
    micro-dollar more than a lucky tie would.
    """
    known = list(claims)
    usable = frozenset(gpus)
    own = next(claim for claim in known if claim.claim_id == claim_id)
    others = [claim for claim in known if claim is not own]
    _, capacity = _on_demand(usable, _of_kind(Kind.ON_DEMAND, others))
    contest = _contest(_offered(others, usable, policy), capacity, policy)
    margin_bps = policy.increment_bps if own.holds and own.holds <= usable else 0
    return _quote(own.num_gpus, capacity, policy, contest, margin_bps)


def _of_kind(kind: Kind, claims: list[Claim]) -> list[Claim]:
    return [claim for claim in claims if claim.kind is kind]


def _leaves(winner: Claim | None) -> bool:
    """A winner that may stay where it runs is the only one not to leave."""
    return winner is None or not winner.holds


def _on_demand(usable: frozenset[int], claims: list[Claim]) -> tuple[list[Claim], int]:
    """Those that run, and of the waiting, in the order they asked, each that still fits; and the GPUs left."""
    started = [claim for claim in claims if claim.holds]
    left = len(usable) - sum(len(claim.holds & usable) for claim in started)
    for claim in sorted((c for c in claims if not c.holds), key=lambda c: (c.placed_at, c.claim_id)):
        if claim.num_gpus <= left:
            started.append(claim)
            left -= claim.num_gpus
    return started, left


def _offered(claims: list[Claim], usable: frozenset[int], policy: Policy) -> list[Claim]:
    """The bids at or above the floor. One on a GPU that is no longer usable competes like one that waits."""
    floor, kind = policy.floor, Kind.BID
    bids = [bid for bid in claims if bid.kind is kind and bid.price >= floor * bid.num_gpus]
    if [bid for bid in bids if bid.holds and not bid.holds <= usable]:
        return [bid if bid.holds <= usable else replace(bid, holds=frozenset()) for bid in bids]
    return bids


def _preference(bid: Claim) -> tuple[bool, datetime, int]:
    return (not bid.holds, bid.placed_at, bid.claim_id)


def _value(bid: Claim, margin_bps: int) -> int:
    """What the bid is worth to the auction, in micro-dollars per hour x BPS."""
    return bid.price * (BPS + margin_bps if bid.holds else BPS)


def _contest(offered: list[Claim], capacity: int, policy: Policy) -> _Contest:
    sizes = {bid.num_gpus for bid in offered}
    by_size = {size: [b for b in offered if b.num_gpus == size] for size in sizes if size <= capacity}
    margin_bps = policy.increment_bps
    best = {size: _highest(same, capacity // size, margin_bps) for size, same in by_size.items()}
    if len(best) == 1:
        return _contest_of_equals(*next(iter(best.items())), capacity, margin_bps)
    bids = sorted((bid for same in best.values() for bid in same), key=_preference)
    return _Contest(bids, _best_weights(bids, capacity, margin_bps), len(bids))


def _highest(bids: Sequence[Claim], count: int, margin_bps: int) -> list[Claim]:
    """The ``count`` best of bids for equally many GPUs. Most are ruled out by comparing plain numbers."""
    if len(bids) > count:
        running = BPS + margin_bps
        values = [bid.price * (running if bid.holds else BPS) for bid in bids]
        least = sorted(values)[-count]
        bids = [bid for bid, value in zip(bids, values, strict=True) if value >= least]
    return sorted(bids, key=lambda bid: (-_value(bid, margin_bps), _preference(bid)))[:count]


def _contest_of_equals(size: int, bids: list[Claim], capacity: int, margin_bps: int) -> _Contest:
    """All bids want equally many GPUs: the highest run, and sums over them are the whole table."""
    values = [0]
    for bid in bids:
        values.append(values[-1] + _value(bid, margin_bps))
    return _Contest(bids, [[values[min(room // size, len(bids))] for room in range(capacity + 1)]], 0)


def _best_weights(bids: Sequence[Claim], capacity: int, margin_bps: int) -> list[list[int]]:
    """The table of a contest between bids of different sizes, by dynamic programming from the last bid on."""
    rows = [[0] * (capacity + 1)]
    for bid, weight in zip(reversed(bids), reversed(_weights(bids, margin_bps)), strict=True):
        without, size = rows[-1], bid.num_gpus
        rows.append([max(v, weight + without[c - size]) if c >= size else v for c, v in enumerate(without)])
    return rows[::-1]


def _weights(bids: Sequence[Claim], margin_bps: int) -> list[int]:
    """Values with a unique last part that breaks every tie the same way: no two sets of bids weigh the same.

    The last part makes a set with a more preferred bid heavier than any set of equal value without it.
    """
    count = len(bids)
    return [(_value(bid, margin_bps) << count) | (1 << (count - 1 - rank)) for rank, bid in enumerate(bids)]


def _chosen(contest: _Contest, capacity: int) -> list[Claim]:
    if not contest.tie_bits:
        return contest.bids
    chosen = []
    left = capacity
    for number, bid in enumerate(contest.bids):
        if contest.table[number][left] != contest.table[number + 1][left]:
            chosen.append(bid)
            left -= bid.num_gpus
    return chosen


def _quotes(gpu_count: int, capacity: int, policy: Policy, contest: _Contest) -> dict[int, int | None]:
    """One table answers all sizes."""
    return {size: _quote(size, capacity, policy, contest, 0) for size in range(1, gpu_count + 1)}


def _quote(size: int, capacity: int, policy: Policy, contest: _Contest, margin_bps: int) -> int | None:
    """A newcomer must outweigh what its GPUs are worth to the others; whoever runs already has its margin."""
    if size > capacity:
        return None
    best = contest.best_weights
    lost = (best[capacity] - best[capacity - size]) >> contest.tie_bits
    return max(policy.floor * size, lost // (BPS + margin_bps) + 1)
