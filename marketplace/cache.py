"""Django's cache in Redis, which may be away: then nothing is found in it, and what is put there is lost.

What lies in it is either in the database too (the features that staff switch) or counts tries (of the API, of signing
up and in), and counts nothing meanwhile: people go on renting rather than be stopped by a limit that can't be kept.
A switch of a feature that Redis was not told of may be overlooked, once Redis is back, for the five minutes that
anything lies there.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)
T = TypeVar("T")


class ForgivingRedisCache(RedisCache):
    """Only what this site calls is forgiven; the rest raises RedisError, as in RedisCache."""

    def add(self, key: Any, *args: Any, **options: Any) -> bool:
        """True without Redis: allauth locks with it, and would wait for a lock that nobody holds."""
        return self._or(True, lambda: super(ForgivingRedisCache, self).add(key, *args, **options))

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._or(default, lambda: super(ForgivingRedisCache, self).get(key, default, version))

    def set(self, key: Any, *args: Any, **options: Any) -> None:
        self._or(None, lambda: super(ForgivingRedisCache, self).set(key, *args, **options))

    def delete(self, key: Any, version: int | None = None) -> bool:
        return self._or(False, lambda: super(ForgivingRedisCache, self).delete(key, version))

    def delete_many(self, keys: Any, version: int | None = None) -> None:
        self._or(None, lambda: super(ForgivingRedisCache, self).delete_many(keys, version))

    @staticmethod
    def _or(otherwise: T, work: Callable[[], T]) -> T:
        try:
            return work()
        except RedisError as error:
            logger.warning("cache_unavailable", error=str(error))
            return otherwise
