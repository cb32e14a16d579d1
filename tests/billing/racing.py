"""Races on purpose: threads with connections of their own that are held up by a lock until all wait for it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

from django.db import connection, connections, transaction

GIVE_UP_AFTER_SECONDS = 20


def race(hold: Callable[[], object], acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """Runs ``acts`` at once while this thread holds what ``hold`` locks, lets go when all of them wait, and
    returns what each returned or raised."""
    with ThreadPoolExecutor(len(acts)) as pool:
        with transaction.atomic():
            hold()
            futures = [pool.submit(_in_own_connection, act) for act in acts]
            wait_until_blocked(len(acts))
        return [future.exception() or future.result() for future in futures]


def elsewhere(act: Callable[[], Any]) -> Any:
    """What ``act`` returns on a connection of its own, committed, while this thread's transaction stays open."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_in_own_connection, act).result()


def wait_until_blocked(count: int) -> None:
    """Returns when ``count`` other connections to this database wait for a lock."""
    deadline = monotonic() + GIVE_UP_AFTER_SECONDS
    while _blocked() < count:
        assert monotonic() < deadline, "nothing waits for the lock"


def _blocked() -> int:
    with connection.cursor() as cursor:
        # Within a transaction PostgreSQL would answer as it did the first time.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()"
        )
        waiting: int = cursor.fetchone()[0]
    return waiting


def _in_own_connection(act: Callable[[], Any]) -> Any:
    """Nothing may wait for ever: the thread that holds the lock may be waiting for this one."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = %s", [f"{GIVE_UP_AFTER_SECONDS}s"])
        return act()
    finally:
        connections.close_all()
