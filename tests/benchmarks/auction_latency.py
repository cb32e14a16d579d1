"""From a bid to its outcome in the database, with Celery's workers and beat as they run in an installation."""

import os
import random
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.db import connection
from django.utils import timezone

from scripts.demo import programs
from scripts.demo.layout import ROOT
from scripts.services.processes import ManagedProcess
from tests.benchmarks import auction_world as world
from tests.benchmarks.auction_clearing import RUNNER
from tests.benchmarks.figures import tell

BIDS_PER_SECOND = 100
TARGET_P99_SECONDS = 1.0
_LOOK_SECONDS = 0.005
_PATIENCE_SECONDS = 600.0


@dataclass
class Run:
    """One run of bids: when each was sent and at which price, and how long its outcome took."""

    pending: dict[int, tuple[float, int]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    all_sent: bool = False

    def watch(self) -> None:
        """Look again and again which bids are in force by now, until all are. Its own thread, its own connection."""
        try:
            began = time.perf_counter()
            while not self.all_sent or self.pending:
                self._look()
                assert time.perf_counter() - began < _PATIENCE_SECONDS, f"{len(self.pending)} bids were never taken in"
                time.sleep(_LOOK_SECONDS)
        finally:
            connection.close()

    def _look(self) -> None:
        sent = dict(self.pending)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT i.id FROM marketplace_instance i JOIN unnest(%s::bigint[], %s::bigint[]) AS sent (id, price) "
                "ON sent.id = i.id AND sent.price = i.gpu_micros_per_hour",
                [list(sent), [price for _, price in sent.values()]],
            )
            done = [pk for (pk,) in cursor.fetchall()]
        now = time.perf_counter()
        for pk in done:
            self.seconds.append(now - sent[pk][0])
            del self.pending[pk]


@contextmanager
def workers(database_url: str, folder: Path) -> Iterator[None]:
    """Celery's workers and beat on this database. Silent machines stay online: none of them has an agent."""
    environment = os.environ | {"DATABASE_URL": database_url, "MACHINE_OFFLINE_AFTER_SECONDS": "86400"}
    commands = {"worker": programs.worker(), "clearing": programs.clearing(), "beat": programs.beat(folder)}
    processes = [
        ManagedProcess(name, command, folder / f"{name}.log", environment, ROOT) for name, command in commands.items()
    ]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.stop(grace_seconds=5)


def run(instances: list[tuple[int, int]], seconds: float) -> tuple[Run, float]:
    """Bid at the rate, each instance once; what came of it and the rate that was reached."""
    from marketplace.models import User  # noqa: PLC0415 - Django is set up by now
    from marketplace.services.bids import bid_change  # noqa: PLC0415 - Django is set up by now

    current = Run()
    watcher = threading.Thread(target=current.watch)
    watcher.start()
    began = time.perf_counter()
    count = round(seconds * BIDS_PER_SECOND)
    for number, (instance, client) in enumerate(instances[:count]):
        time.sleep(max(0.0, began + number / BIDS_PER_SECOND - time.perf_counter()))
        sent, price = time.perf_counter(), 310_000 + random.randrange(80_000)
        bid_change(instance_id=instance, client=User(pk=client), price_micros=price, now=timezone.now())
        current.pending[instance] = (sent, price)
    rate = count / (time.perf_counter() - began)
    current.all_sent = True
    watcher.join()
    return current, rate


def report(machines: int, repeats: int, seconds: float, folder: Path) -> None:
    """Runs of bids with a worker that takes them in."""
    world.world(machines)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, client_id FROM marketplace_instance WHERE id %% %s = %s ORDER BY random()",
            [world.STRIDE, RUNNER],
        )
        instances = cursor.fetchall()
    p50s, p99s, rates = [], [], []
    with workers(world.current_url(), folder):
        run(instances, 1)  # until the worker is up and warm
        for _ in range(repeats):
            random.shuffle(instances)
            done, rate = run(instances, seconds)
            cuts = statistics.quantiles(done.seconds, n=100)
            p50s.append(cuts[49])
            p99s.append(cuts[98])
            rates.append(rate)
    p50, p99 = statistics.median(p50s), statistics.median(p99s)
    tell(
        f"{statistics.median(rates):.0f} bids/s on {machines} machines: p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms "
        f"(worst run {max(p99s) * 1e3:.0f} ms)   target p99 < {TARGET_P99_SECONDS:g} s: "
        f"{'pass' if p99 < TARGET_P99_SECONDS else 'MISS'}   ({repeats} runs of {seconds:g} s)"
    )
