"""Settling all running instances at once, against settling one client after the other in its own transaction.

Both are the real services on the same ledger and take turns, each time for another hour; a second run of the same hour
has to find nothing.
"""

import statistics
import time
from collections.abc import Sequence
from datetime import datetime

from tests.benchmarks import auction_world as world
from tests.benchmarks import billing_world
from tests.benchmarks.figures import Comparison, slope, tell

TARGET = 5.0
SAMPLE = 200
"""Clients that the peer settles; what it takes for each doesn't depend on how many there are."""
METERS_PER_INSTANCE = 2


def report(sizes: Sequence[int], repeats: int, large_repeats: int) -> None:
    """One ledger of each size, every instance that of a client of its own."""
    together = []
    for instances in sizes:
        billing_world.ledger(f"settle_{instances}", instances=instances, clients=instances)
        comparison = settled(instances, repeats if instances < 50_000 else large_repeats)
        together.append(statistics.median(comparison.subject))
        tell(comparison)
    if len(sizes) > 1:
        tell(f"growth of the cost of each instance with their number: {slope(list(sizes), together):.2f}")


def settled(instances: int, repeats: int) -> Comparison:
    """Milliseconds for each instance."""
    from billing.services import settle_running  # noqa: PLC0415 - Django is set up by now

    comparison = Comparison(f"{instances} running instances", "ms", "peer/subject", at_least=TARGET)
    sample = min(SAMPLE, instances // 2)
    for hour in range(1, repeats + 1):
        now = billing_world.START + hour * billing_world.HOUR
        one_by_one = seconds_one_by_one(sample, now) / sample
        began = time.perf_counter()
        posted = settle_running(now=now)
        together = (time.perf_counter() - began) / (instances - sample)
        assert posted == METERS_PER_INSTANCE * (instances - sample), f"{posted} entries"
        assert settle_running(now=now) == 0, "the same hour was posted twice"
        comparison.add(together * 1e3, one_by_one * 1e3)
        world.execute("VACUUM ANALYZE billing_meter, billing_posting, billing_entry")
    return comparison


def seconds_one_by_one(sample: int, now: datetime) -> float:
    """Settle so many clients, each alone."""
    from billing.services import settle_payer  # noqa: PLC0415 - Django is set up by now
    from marketplace.models import User  # noqa: PLC0415 - Django is set up by now

    began = time.perf_counter()
    for number in range(1, sample + 1):
        posted = settle_payer(payer=User(pk=billing_world.CLIENTS + number), now=now)
        assert posted == METERS_PER_INSTANCE, f"{posted} entries"
    return time.perf_counter() - began
