"""The database as the relay sees it: asked on threads, so that one that hangs holds up no traffic."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import Error, close_old_connections, connections

from hosting.connecting import Permit, permits

T = TypeVar("T")

ANSWER_SECONDS = 5.0
_THREADS = 4


class UnavailableError(Exception):
    """The database gave no answer in time. What is open stays open, and nothing new is permitted."""


def use_short_timeouts() -> None:
    """For the whole process: connecting and each statement end before whoever waits for them gives up."""
    options = connections.settings["default"].setdefault("OPTIONS", {})
    options |= {"connect_timeout": 4, "options": f"-c statement_timeout={int(ANSWER_SECONDS * 1000)}"}


class Gate:
    """``close`` it in the end."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="relay-db")

    async def permit(self, machine_id: int) -> Permit | None:
        """What the machine may do; None for one that is not registered or has no key. Raises UnavailableError."""
        return (await self.permits([machine_id])).get(machine_id)

    async def permits(self, machine_ids: Iterable[int]) -> dict[int, Permit]:
        """The same for several, without those that may nothing. Raises UnavailableError."""
        return await self.run(permits, list(machine_ids))

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Any database work, on a thread. Raises UnavailableError."""
        asked = asyncio.get_running_loop().run_in_executor(self._threads, _connected, work, *arguments)
        try:
            return await asyncio.wait_for(asked, ANSWER_SECONDS)
        except (Error, TimeoutError) as error:
            raise UnavailableError(str(error).strip() or "no answer in time") from error

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _connected(work: Callable[..., T], *arguments: Any) -> T:
    close_old_connections()
    try:
        return work(*arguments)
    finally:
        close_old_connections()
