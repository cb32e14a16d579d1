"""How many bids a second the service commits, against pgbench updating the same column of the same rows.

Eight processes with a connection each call ``bid_change``, hint to the workers included; no worker runs. Each has
instances of its own, as rivals have; on a single instance they queue for its row. pgbench sends one prepared UPDATE of
one row from eight connections.
"""

import multiprocessing
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from typing import TYPE_CHECKING

from django.db import connection
from django.utils import timezone

from tests.benchmarks import auction_world as world
from tests.benchmarks.figures import Comparison, tell

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

CONNECTIONS = 8
LEAST_PRICE = 100_000
MOST_STEPS = 300_000
SPREAD_TARGET, HOT_TARGET = 0.40, 1.0


def pgbench_program() -> str:
    """The pgbench on this machine. RuntimeError says how to get one."""
    found = shutil.which("pgbench")
    if found is None:
        raise RuntimeError("pgbench is missing: apt-get install --no-install-recommends postgresql-contrib")
    return found


def pgbench_per_second(database_url: str, row: str, seconds: float) -> float:
    r"""Transactions per second of the plain update; ``row`` is what \set gives id."""
    statement = "UPDATE marketplace_instance SET bid_micros_per_hour = :price WHERE id = :id;\n"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(f"\\set id {row}\n\\set price random(100000, 400000)\n{statement}")
        script.flush()
        load = ["-c", str(CONNECTIONS), "-j", "2", "-T", str(round(seconds)), "-f", script.name]
        command = [pgbench_program(), "-n", "-M", "prepared", *load, database_url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found.group(1))


class Bidders:
    """Processes with a connection each that bid together; started once, because starting takes longer than bidding.

    Use as a context.
    """

    def __enter__(self) -> "Bidders":
        context = multiprocessing.get_context("spawn")
        start = context.Barrier(CONNECTIONS)
        settings = (world.current_url(), os.environ["REDIS_URL"], start)
        self._pool = context.Pool(CONNECTIONS, initializer=_remember, initargs=settings)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.terminate()
        self._pool.join()

    def per_second(self, instances: Sequence[tuple[int, int]], seconds: float) -> float:
        """Bids committed per second on these instances, given with their clients."""
        jobs = [(number, list(instances), seconds) for number in range(CONNECTIONS)]
        # Nobody gets two: each waits for all others before it bids.
        return sum(self._pool.starmap(_bidder, jobs, chunksize=1))


def report(machines: int, repeats: int, seconds: float) -> None:
    """Bids spread over the market, on the instances of one machine, and on a single instance."""
    world.world(machines)
    _make_hot()
    instances = _instances("state <> 'destroyed'")
    hot = _instances("machine_id = 1")
    spread = Comparison(f"bids/s spread over {len(instances)} instances", "/s", at_least=SPREAD_TARGET)
    machine = Comparison(f"bids/s on one machine with {len(hot)} instances", "/s", at_least=HOT_TARGET)
    single = Comparison("bids/s on one instance", "/s")
    url = world.current_url()
    with Bidders() as bidders:
        for _ in range(repeats):
            row = f"random(0, {machines - 1}) * {world.STRIDE} + random(1, 3)"
            spread.add(peer=pgbench_per_second(url, row, seconds), subject=bidders.per_second(instances, seconds))
            plain = pgbench_per_second(url, str(hot[0][0]), seconds)
            machine.add(bidders.per_second(hot, seconds), plain)
            single.add(bidders.per_second(hot[:1], seconds), plain)
            world.execute("DELETE FROM marketplace_dirtymark")
    for comparison in (spread, machine, single):
        tell(comparison)


def _make_hot() -> None:
    """Give the first machine eight bids: those of its neighbours move to it, as far as bidding is concerned."""
    world.execute("UPDATE marketplace_instance SET machine_id = 1 WHERE id < 3 * %(stride)s", {"stride": world.STRIDE})
    world.execute("UPDATE marketplace_instance SET machine_id = 3001 WHERE id = 2003")


def _instances(condition: str) -> list[tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, client_id FROM marketplace_instance WHERE {condition} ORDER BY id")
        return list(cursor.fetchall())


_start: Barrier


def _remember(database_url: str, redis_url: str, start: Barrier) -> None:
    """Set a process up. A barrier reaches a pool's process by its initializer only."""
    global _start
    _start = start
    world.set_up(database_url, redis_url)


def _bidder(number: int, instances: Sequence[tuple[int, int]], seconds: float) -> float:
    """One process: bids as fast as it can, from when all are ready; its bids per second."""
    from marketplace.models import User  # noqa: PLC0415 - Django is set up by now

    dice = random.Random(number)
    own = instances[number::CONNECTIONS] or instances
    bidders = [(instance, User(pk=client)) for instance, client in dice.choices(own, k=2_000)]
    bid_for(bidders, dice, 0.3)
    _start.wait()
    return bid_for(bidders, dice, seconds)


def bid_for(bidders: Sequence["tuple[int, AbstractBaseUser]"], dice: random.Random, seconds: float) -> float:
    """Bid for these instances, given with their clients, one after the other; bids per second."""
    from marketplace.services.bids import bid_change  # noqa: PLC0415 - Django is set up by now

    began, placed = time.perf_counter(), 0
    while (taken := time.perf_counter() - began) < seconds:
        instance, client = bidders[placed % len(bidders)]
        price = LEAST_PRICE + dice.randrange(MOST_STEPS)
        bid_change(instance_id=instance, client=client, price_micros=price, now=timezone.now())
        placed += 1
    return placed / taken
