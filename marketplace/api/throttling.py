"""At most so many requests a minute from one account or address."""

import time

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

WINDOW_SECONDS = 60


class PerMinuteThrottle(BaseThrottle):
    """Counts in windows of a minute, one counter per caller, in Redis. Without Redis everything passes."""

    def allow_request(self, request: Request, view: object) -> bool:  # noqa: ARG002 - the framework's signature
        window = int(time.time()) // WINDOW_SECONDS
        try:
            return self._count(request, window) <= _limit(request)
        except (RedisError, ValueError):  # ValueError: the counter was evicted
            return True

    def wait(self) -> float:
        return WINDOW_SECONDS - time.time() % WINDOW_SECONDS

    def _count(self, request: Request, window: int) -> int:
        caller = f"user:{request.user.pk}" if request.user.is_authenticated else f"address:{self.get_ident(request)}"
        key = f"api-requests:{caller}:{window}"
        cache.add(key, 0, timeout=2 * WINDOW_SECONDS)
        return int(cache.incr(key))


def _limit(request: Request) -> int:
    per_minute: int = (
        settings.API_REQUESTS_PER_MINUTE
        if request.user.is_authenticated
        else settings.API_ANONYMOUS_REQUESTS_PER_MINUTE
    )
    return per_minute
