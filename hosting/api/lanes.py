"""How much of the few threads one caller may have, so that nobody keeps all of them waiting for locks of its own."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections

from hosting.errors import HostingError

T = TypeVar("T")
HANDLER_THREADS = 8

_handlers = ThreadPoolExecutor(HANDLER_THREADS, thread_name_prefix="sync")


@dataclass
class _Place:
    turns: asyncio.Semaphore
    callers: int = 0


class Lane:
    """At most ``abreast`` of one caller are worked on at once, and ``waiting`` more wait for that; others are refused.

    It belongs to the one event loop of its process.
    """

    def __init__(self, *, abreast: int, waiting: int) -> None:
        self._abreast = abreast
        self._most = abreast + waiting
        self._places: dict[str, _Place] = {}

    async def run(self, caller: str, work: Callable[[], T]) -> T:
        """Do database work on a thread. Raises HostingError(too_many_requests, 429), and whatever ``work`` raises.

        A caller that hangs up keeps its turn until the thread is free again: it would have the next one otherwise.
        A process that holds no requests has a thread for each anyway.
        """
        if settings.SYNC_HOLD_MAX_SECONDS <= 0:
            return await sync_to_async(work)()
        async with self._turn(caller):
            task = asyncio.create_task(in_pool(work))
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                await asyncio.wait([task])
                task.exception()  # nobody is left to see it, which asyncio would complain of
                raise

    @property
    def callers(self) -> int:
        """How many are in it."""
        return sum(place.callers for place in self._places.values())

    @asynccontextmanager
    async def _turn(self, caller: str) -> AsyncIterator[None]:
        place = self._places.setdefault(caller, _Place(asyncio.Semaphore(self._abreast)))
        if place.callers >= self._most:
            raise HostingError(
                "too_many_requests", f"No more than {self._most} such requests at a time; try again later.", status=429
            )
        place.callers += 1
        try:
            async with place.turns:
                yield
        finally:
            place.callers -= 1
            if not place.callers:
                del self._places[caller]


async def in_pool(work: Callable[[], T]) -> T:
    """Run database work on a few threads with lasting connections, however many requests are held."""
    return await asyncio.get_running_loop().run_in_executor(_handlers, functools.partial(_with_connection, work))


def _with_connection(work: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return work()
    finally:
        close_old_connections()
