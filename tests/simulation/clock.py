"""The one clock of a simulated world, and Redis as it would be under that clock."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import redis


@dataclass
class Clock:
    """Stands still unless told to go on."""

    now: datetime

    def advance(self, seconds: float) -> None:
        """Let time pass, to the microsecond."""
        self.now += timedelta(microseconds=round(seconds * 1_000_000))


class VirtualRedis:
    """A real Redis whose keys expire by the virtual clock. It can be away: then every command fails."""

    def __init__(self, real: "redis.Redis", clock: Clock) -> None:
        self._real = real
        self._clock = clock
        self._expiries: dict[str, datetime] = {}
        self.away = False

    def set(self, name: str, value: Any, *, ex: int | None = None, nx: bool = False, get: bool = False) -> Any:
        """SET; ``ex`` counts virtual seconds."""
        self._meet()
        answer = self._real.set(name, value, nx=nx, get=get)
        if ex is not None and (answer or get):
            self._expiries[name] = self._clock.now + timedelta(seconds=ex)
        return answer

    def flush(self) -> None:
        """Lose everything."""
        self._real.flushdb()
        self._expiries.clear()

    def __getattr__(self, command: str) -> Any:
        self._meet()
        return getattr(self._real, command)

    def _meet(self) -> None:
        if self.away:
            raise redis.ConnectionError("the simulation took Redis away")
        for name in [name for name, until in self._expiries.items() if until <= self._clock.now]:
            self._real.delete(name)
            self._expiries.pop(name, None)
