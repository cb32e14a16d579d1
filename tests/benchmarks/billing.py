"""Billing against what it can't be faster than, or must be much faster than: pgbench, plain reads, one at a time.

Subject and peer take turns in the same run on the same PostgreSQL, with commits as durable as in production. Prints
both medians, their ratio, the target and whether it is met.
"""

import argparse
import multiprocessing
import os

from tests.benchmarks import auction_world as world
from tests.benchmarks import billing_balances, billing_postings, billing_settlement, billing_weeks
from tests.benchmarks.figures import heading, tell

PARTS = ("posting", "settling", "balance", "depletion", "weeks")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--large-repeats", type=int, default=3, help="with 50,000 instances and more")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="instances, and hosts")
    parser.add_argument("--entries", type=int, nargs="+", default=[10, 10_000, 1_000_000], help="behind a balance")
    parser.add_argument("--clients", type=int, default=100_000, help="of whom some use up their credit")
    parser.add_argument("--seconds", type=float, default=5, help="of posting in each repeat")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    options = parser.parse_args()
    print(f"{multiprocessing.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    with world.servers(market=False):
        measure(options)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def measure(options: argparse.Namespace) -> None:
    """The parts that were asked for."""
    if "posting" in options.only:
        heading(f"Postings committed with {billing_postings.CONNECTIONS} connections, against pgbench's TPC-B")
        billing_postings.report(options.repeats, options.seconds)
    if "settling" in options.only:
        heading("Settling an hour of all running instances, against one client in each transaction (for each instance)")
        billing_settlement.report(options.sizes, options.repeats, options.large_repeats)
    if "balance" in options.only:
        heading("Reading a balance, against reading an account's row by its primary key")
        billing_balances.balances(options.entries, options.repeats)
    if "depletion" in options.only:
        heading("Finding who has used up its credit, against computing every balance")
        tell(billing_balances.depleted(options.clients, options.repeats))
    if "weeks" in options.only:
        heading("Invoices of a week, against one host in each transaction (for each host)")
        billing_weeks.report(options.sizes, options.repeats, options.large_repeats)


if __name__ == "__main__":
    main()
