"""How many postings a second the ledger commits, against pgbench's TPC-B on the same server.

Eight processes with a connection each post credit with ``entries_post``, the only writer of the ledger: an
entry with a posting on the credit of a client of their own and one on the adjustments account, which all of
them share. pgbench sends its built-in transaction (three updates, a select, an insert) as prepared statements from
eight connections; its scale is above the number of connections, as its manual asks.
"""

import itertools
import multiprocessing
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.synchronize import Barrier

from tests.benchmarks import auction_world as world
from tests.benchmarks import billing_world
from tests.benchmarks.auction_bids import pgbench_program
from tests.benchmarks.figures import Comparison, tell

CONNECTIONS = 8
TPCB_SCALE = 10
TARGET = 1.0
Rate = Callable[[float], float]


def report(repeats: int, seconds: float) -> None:
    """Postings, and for information a grant of credit with everything around its posting."""
    tpcb_url = world.database("tpcb")
    subprocess.run([pgbench_program(), "-i", "-q", "-s", str(TPCB_SCALE), tpcb_url], capture_output=True, check=True)
    billing_world.ledger("postings", instances=0, clients=CONNECTIONS)
    postings = Comparison("postings/s", "/s", at_least=TARGET)
    grants = Comparison("credit grants/s", "/s")
    with posters() as (posting, granting):
        for _ in range(repeats):
            peer = tpcb_per_second(tpcb_url, seconds)
            postings.add(posting(seconds), peer)
            grants.add(granting(seconds), peer)
    tell(postings)
    tell(grants)


def tpcb_per_second(database_url: str, seconds: float) -> float:
    """Transactions per second of pgbench's built-in script."""
    load = ["-c", str(CONNECTIONS), "-j", "2", "-T", str(round(seconds))]
    command = [pgbench_program(), "-n", "-M", "prepared", *load, database_url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found.group(1))


@contextmanager
def posters() -> Iterator[tuple[Rate, Rate]]:
    """Processes with a connection each to the present database: postings, and grants, per second of so many seconds."""
    context = multiprocessing.get_context("spawn")
    job = (world.current_url(), os.environ["REDIS_URL"], context.Barrier(CONNECTIONS))
    with context.Pool(CONNECTIONS, initializer=_remember, initargs=(job,)) as pool:

        def rate(action: str) -> Rate:
            return lambda seconds: sum(
                pool.starmap(_poster, [(number, action, seconds) for number in range(CONNECTIONS)], chunksize=1)
            )

        yield rate("post"), rate("grant")


_job: tuple[str, str, Barrier]


def _remember(job: tuple[str, str, Barrier]) -> None:
    global _job  # a barrier reaches a pool's process by its initializer only
    _job = job
    world.set_up(job[0], job[1])


def _poster(number: int, action: str, seconds: float) -> float:
    """One process: posts as fast as it can, from when all are ready; its postings per second."""
    act = {"post": payments_post, "grant": credit_grant}[action]
    act(number, 0.3)
    _job[2].wait()
    return act(number, seconds)


def payments_post(number: int, seconds: float) -> float:
    """Credit to one client, one entry after the other; entries per second."""
    from billing.domain.entries import EntryDraft, Line  # noqa: PLC0415 - Django is set up by now
    from billing.models import AccountKind, EntryKind  # noqa: PLC0415 - Django is set up by now
    from billing.services.accounts import system_account_id  # noqa: PLC0415 - Django is set up by now
    from billing.services.ledger import entries_post  # noqa: PLC0415 - Django is set up by now

    adjustments = system_account_id(AccountKind.ADJUSTMENTS)
    lines = (Line(billing_world.CLIENTS + 1 + number, 25_000_000), Line(adjustments, -25_000_000))

    def post(key: str, turn: int) -> None:
        now = billing_world.START + timedelta(seconds=turn)
        entries_post([EntryDraft(f"adjustment:{key}", EntryKind.ADJUSTMENT, "Adjustment", now, lines)])

    return _per_second(post, number, seconds)


def credit_grant(number: int, seconds: float) -> float:
    """Grants to one client, one after the other; grants per second."""
    from billing import services  # noqa: PLC0415 - Django is set up by now
    from marketplace.models import User  # noqa: PLC0415 - Django is set up by now

    user = User(pk=billing_world.CLIENTS + 1 + number)

    def grant(key: str, turn: int) -> None:
        now = billing_world.START + timedelta(seconds=turn)
        services.credit_grant(
            user=user, amount_micros=10_000, actor=None, reason="Welcome", idempotency_key=key, now=now
        )

    return _per_second(grant, number, seconds)


def _per_second(act: Callable[[str, int], None], number: int, seconds: float) -> float:
    began, turns = time.perf_counter(), itertools.count()
    while (taken := time.perf_counter() - began) < seconds:
        turn = next(turns)
        act(f"{number}:{began}:{turn}", turn)
    return next(turns) / taken
