"""Wakes the held request of an agent the moment its desired state changes. A lost wake-up costs one hold period."""

import asyncio
import contextlib

import redis
import redis.asyncio
import structlog
from django.conf import settings

from hosting.gateways.presence import client

logger = structlog.get_logger(__name__)

RECHECK_WHEN_DEAF_SECONDS = 1.0
_SUBSCRIBE_SECONDS = 5.0


def _channel(machine_id: int) -> str:
    return f"agents:wake:{machine_id}"


def wake(machine_id: int) -> None:
    """Tell whoever holds this machine's request to look again."""
    try:
        client().publish(_channel(machine_id), "1")
    except redis.RedisError as error:
        logger.warning("wakeup_lost", machine_id=machine_id, error=str(error))


class Listener:
    """Hears wake-ups of one machine. Subscribe before reading the state, then nothing is missed.

    Without Redis it is deaf: ``wait`` then returns after at most RECHECK_WHEN_DEAF_SECONDS, so the caller looks itself.
    """

    def __init__(self, machine_id: int) -> None:
        self._connection = redis.asyncio.Redis.from_url(settings.REDIS_URL)
        self._pubsub = self._connection.pubsub(ignore_subscribe_messages=True)
        self._machine_id = machine_id
        self._deaf = self.ended = False
        """``ended``: nobody waits for the answer any more."""
        self._waiting: asyncio.Timeout | None = None

    async def __aenter__(self) -> "Listener":
        try:
            async with asyncio.timeout(_SUBSCRIBE_SECONDS):
                await self._pubsub.subscribe(_channel(self._machine_id))
                # Sent is not heard: what is read before Redis has answered could be out of date unnoticed.
                await self._pubsub.get_message(ignore_subscribe_messages=False, timeout=_SUBSCRIBE_SECONDS)
        except (redis.RedisError, TimeoutError):
            self._deaf = True
        return self

    def end(self) -> None:
        """Let ``wait`` return now."""
        self.ended = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(redis.RedisError):
            await self._pubsub.aclose()  # type: ignore[no-untyped-call]  # redis ships this one method untyped
            await self._connection.aclose()

    async def wait(self, seconds: float) -> None:
        """Return as soon as a wake-up comes, after ``seconds`` at the latest."""
        if not self._deaf:
            try:
                await self._wait_for_message(seconds)
            except redis.RedisError:
                self._deaf = True
        if self._deaf:
            await asyncio.sleep(min(seconds, RECHECK_WHEN_DEAF_SECONDS))

    async def _wait_for_message(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0 if self.ended else seconds) as self._waiting:
                while await self._pubsub.get_message(timeout=seconds) is None:
                    pass
        self._waiting = None
