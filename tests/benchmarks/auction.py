"""The auction against what it can't be faster than: sorting, one batch, one row update.

Subject and peer take turns in the same run on the same servers: a PostgreSQL and a Valkey of their own, with commits
as durable as in production. Prints both medians, their ratio, the target and whether it is met.
"""

import argparse
import multiprocessing
import os
from pathlib import Path

from tests.benchmarks import auction_bids, auction_clearing, auction_latency, auction_pure
from tests.benchmarks import auction_world as world
from tests.benchmarks.figures import heading

PARTS = ("pure", "bids", "latency", "clearing")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--large-repeats", type=int, default=3, help="with 50,000 machines and more")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="machines")
    parser.add_argument("--seconds", type=float, default=5, help="of bidding in each repeat")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    options = parser.parse_args()
    print(f"{multiprocessing.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    if "pure" in options.only:
        heading("Clearing one machine of 8 GPUs, against sorted() of the same bids")
        auction_pure.report(options.repeats)
    if set(options.only) - {"pure"}:
        with world.servers() as folder:
            measure(options, folder)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def measure(options: argparse.Namespace, folder: Path) -> None:
    """The parts that need servers."""
    if "bids" in options.only:
        heading(f"Bids committed with {auction_bids.CONNECTIONS} connections, against pgbench's one-row update")
        auction_bids.report(10_000, options.repeats, options.seconds)
    if "latency" in options.only:
        heading("From a bid to its outcome, with Celery's worker and beat")
        auction_latency.report(10_000, options.repeats, 2 * options.seconds, folder)
    if "clearing" in options.only:
        heading("Clearing in batches, against one machine in each transaction (time for each machine)")
        auction_clearing.report(options.sizes, options.repeats, options.large_repeats)


if __name__ == "__main__":
    main()
