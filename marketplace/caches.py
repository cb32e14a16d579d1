"""The cache in Redis, without which everything goes on: what is not found there is read where it is kept."""

from typing import Any

import redis
import structlog
from django.core.cache.backends.redis import RedisCache

logger = structlog.get_logger(__name__)


class OptionalRedisCache(RedisCache):
    """Without Redis, reading finds nothing and adding keeps nothing. Changing and deleting fail: what is out of date by
    then would be found again later."""

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        try:
            return super().get(key, default, version)
        except redis.RedisError as error:
            logger.warning("cache_unavailable", error=str(error))
            return default

    def add(self, key: Any, value: Any, *args: Any, **options: Any) -> bool:
        try:
            return bool(super().add(key, value, *args, **options))
        except redis.RedisError:
            return False
