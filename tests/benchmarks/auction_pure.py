"""The decision alone: clearing one machine of 8 GPUs, quotes included, against ``sorted()`` of the same bids."""

import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from marketplace.domain.auction import BPS, Claim, Kind, Policy, clear
from tests.benchmarks.figures import Comparison, slope, tell

GPUS = range(8)
SIZES = (1, 10, 100, 1_000)
TARGET = 2.5
POLICY = Policy(increment_bps=500, floor=1_000)
_START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
_ROUND_SECONDS = 0.05


def bids(count: int, sizes: tuple[int, ...], dice: random.Random) -> list[Claim]:
    """So many bids of these sizes; the first ones run, as many as find room."""
    found, used = [], 0
    for number in range(count):
        size = dice.choice(sizes)
        holds = frozenset(range(used, used + size)) if used + size <= len(GPUS) else frozenset[int]()
        used += len(holds)
        placed_at = _START + timedelta(microseconds=dice.randrange(10**12))
        price = dice.randrange(10_000, 500_000) * size
        bid = Claim(claim_id=number, kind=Kind.BID, num_gpus=size, placed_at=placed_at, price=price, holds=holds)
        found.append(bid)
    dice.shuffle(found)
    return found


def preference(bid: Claim) -> tuple[int, bool, datetime, int]:
    """The auction's order of equal bids, as a key to sort by: highest first, then who runs, then the earlier."""
    value = bid.price * (BPS + POLICY.increment_bps if bid.holds else BPS)
    return (-value, not bid.holds, bid.placed_at, bid.claim_id)


def compare(count: int, sizes: tuple[int, ...], repeats: int, target: float | None) -> Comparison:
    """Clear and sort the same bids in turns; microseconds each."""
    claims = bids(count, sizes, random.Random(count))
    kind = "all for 1 GPU" if sizes == (1,) else "mixed sizes"
    comparison = Comparison(f"{count} bids, {kind}", "us", at_most=target)
    for _ in range(repeats):
        subject, peer = [], []
        for _ in range(5):
            subject.append(microseconds(lambda: clear(GPUS, claims, POLICY)))
            peer.append(microseconds(lambda: sorted(claims, key=preference)))
        comparison.add(statistics.median(subject), statistics.median(peer))
    return comparison


def microseconds(call: Callable[[], object]) -> float:
    """What one call takes, over as many as fit into a round."""
    calls, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < _ROUND_SECONDS:
        call()
        calls += 1
    return taken / calls * 1e6


def report(repeats: int) -> None:
    """Both series with their growth. The target is for a series as a whole, and for each size where deciding, and not
    a constant of some microseconds, is what takes time."""
    for sizes in ((1,), (1, 2, 4, 8)):
        plain = sizes == (1,)
        found = [compare(count, sizes, repeats, TARGET if plain and count >= 100 else None) for count in SIZES]
        for comparison in found:
            tell(comparison)
        tell(together(found, TARGET if plain else None))
        costs = [statistics.median(comparison.subject) for comparison in found]
        peers = [statistics.median(comparison.peer) for comparison in found]
        ours, theirs = slope(SIZES[1:], costs[1:]), slope(SIZES[1:], peers[1:])
        tell(f"growth from 10 to 1,000 bids: {ours:.2f}, of sorted(): {theirs:.2f}")


def together(found: Sequence[Comparison], target: float | None) -> Comparison:
    """The whole series: one machine of each size cleared, against as many bids sorted."""
    series = Comparison(f"one machine of each, {found[0].name.partition(', ')[2]}", "us", at_most=target)
    for subject, peer in zip(_by_repeat(c.subject for c in found), _by_repeat(c.peer for c in found), strict=True):
        series.add(sum(subject), sum(peer))
    return series


def _by_repeat(series: Iterable[Sequence[float]]) -> list[tuple[float, ...]]:
    return list(zip(*series, strict=True))
