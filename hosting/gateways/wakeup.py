"""Wakes the held request of an agent the moment its desired state changes. A lost wake-up costs one hold period.

A process hears all wake-ups over one connection to Redis, however many requests it holds: Redis has few connections to
give, and everything else needs one too.
"""

import asyncio
import contextlib
import weakref
from types import TracebackType
from typing import Any, Self

import redis
import redis.asyncio
import structlog
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from hosting.gateways.presence import client

logger = structlog.get_logger(__name__)

RECHECK_WHEN_DEAF_SECONDS = 1.0
CONNECT_SECONDS = 2.0
SILENCE_SECONDS = 10.0
"""After which the connection is asked whether it still lives, and after as long again is given up."""
_PREFIX = "agents:wake:"


def wake(machine_id: int) -> None:
    """Tell whoever holds this machine's request to look again."""
    try:
        client().publish(f"{_PREFIX}{machine_id}", "1")
    except redis.RedisError as error:
        logger.warning("wakeup_lost", machine_id=machine_id, error=str(error))


class Listener:
    """Hears wake-ups of one machine. Enter it before reading the state, then nothing is missed.

    The newest one of a machine ends the older ones of this process, which are ``superseded`` from then on. Without
    Redis it is deaf: ``wait`` then returns after at most RECHECK_WHEN_DEAF_SECONDS, so the caller looks itself.
    """

    def __init__(self, machine_id: int) -> None:
        self.superseded = False
        self.woken = asyncio.Event()
        self._machine_id = machine_id
        self._ear = ear()

    async def __aenter__(self) -> Self:
        self._ear.add(self._machine_id, self)
        try:
            await self._ear.settled.wait()
        except BaseException:
            self._ear.remove(self._machine_id, self)
            raise
        self.woken.clear()  # whatever there was to see, the caller is going to look now
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        self._ear.remove(self._machine_id, self)

    async def wait(self, seconds: float) -> None:
        """Return as soon as there may be something to see, after ``seconds`` at the latest."""
        most_seconds = seconds if self._ear.hears else min(seconds, RECHECK_WHEN_DEAF_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_seconds):
                await self.woken.wait()
        self.woken.clear()


class Ear:
    """What this process hears, on one event loop. Connects again whenever it has to, for as long as the loop runs."""

    def __init__(self) -> None:
        self.settled = asyncio.Event()
        """Redis has confirmed, or could not be reached: to wait for it makes no sense any more."""
        self.hears = False
        self.newest: dict[int, Listener] = {}
        """By machine."""
        self.task = asyncio.create_task(self._hear_for_ever())

    def add(self, machine_id: int, listener: Listener) -> None:
        """From now on this one hears of the machine; who did before is told so."""
        older = self.newest.get(machine_id)
        self.newest[machine_id] = listener
        if older is not None:
            older.superseded = True
            older.woken.set()

    def remove(self, machine_id: int, listener: Listener) -> None:
        """Nobody else's place is taken."""
        if self.newest.get(machine_id) is listener:
            del self.newest[machine_id]

    async def _hear_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while not self.task.cancelling():  # redis-py may take our end for that of a wait of its own
                try:
                    await self._hear()
                except (redis.RedisError, OSError) as error:
                    self._log_once(error)
                except Exception:
                    logger.exception("wakeups_failed")
                self._is_deaf()
                if not self.task.cancelling():
                    await asyncio.sleep(RECHECK_WHEN_DEAF_SECONDS)
        finally:
            _ears.pop(loop, None)

    async def _hear(self) -> None:
        """For as long as the connection lives. Raises RedisError."""
        connection = redis.asyncio.Redis.from_url(
            settings.REDIS_URL,
            protocol=2,  # in which the answer to a ping is a message like any other
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),  # who connects again unnoticed does not know that it has missed something
        )
        async with connection, connection.pubsub() as pubsub:
            await pubsub.psubscribe(f"{_PREFIX}*")
            message = await pubsub.get_message(timeout=CONNECT_SECONDS)
            while message is not None:
                self._take(message)
                message = await _next(pubsub)
        raise redis.TimeoutError("Redis is silent")

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "psubscribe":
            self.hears = True
            self.settled.set()
            self._wake_all()  # something may have been said before
        elif message["type"] == "pmessage":
            name = bytes(message["channel"]).decode(errors="replace").removeprefix(_PREFIX)
            listener = self.newest.get(int(name)) if name.isdecimal() else None
            if listener is not None:
                listener.woken.set()

    def _is_deaf(self) -> None:
        """Whoever waits looks from now on itself."""
        self.hears = False
        self.settled.set()
        self._wake_all()

    def _wake_all(self) -> None:
        for listener in self.newest.values():
            listener.woken.set()

    def _log_once(self, error: Exception) -> None:
        if self.hears or not self.settled.is_set():
            logger.warning("wakeups_unheard", error=str(error))


_ears: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Ear] = weakref.WeakKeyDictionary()


def ear() -> Ear:
    """That of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _ears.get(loop)
    if found is None:
        found = _ears[loop] = Ear()
    return found


async def _next(pubsub: redis.asyncio.client.PubSub) -> dict[str, Any] | None:
    """The next message; None where the connection is dead, which a network that is gone does not tell by itself."""
    message: dict[str, Any] | None = await pubsub.get_message(timeout=SILENCE_SECONDS)
    if message is None:
        await pubsub.ping()
        message = await pubsub.get_message(timeout=SILENCE_SECONDS)
    return message
