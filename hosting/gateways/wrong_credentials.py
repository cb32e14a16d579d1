"""How often a network told something wrong for who it is, counted in Redis for all processes together.

Django's cache, as the API's limits have: without Redis nothing is counted and nobody refused.
"""

import time

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError

WINDOW_SECONDS = 60


def wrong_credential_count(network: str) -> int:
    """Count one more; returns the seconds to wait before the next is looked at, 0 while there were not too many."""
    now = time.time()
    key = f"agent-wrong-credentials:{network}:{int(now) // WINDOW_SECONDS}"
    try:
        cache.add(key, 0, timeout=2 * WINDOW_SECONDS)
        count = cache.incr(key)
    except (RedisError, ValueError):  # ValueError: the counter was evicted
        return 0
    if count <= settings.AGENT_WRONG_CREDENTIALS_PER_MINUTE:
        return 0
    return max(1, round(WINDOW_SECONDS - now % WINDOW_SECONDS))
