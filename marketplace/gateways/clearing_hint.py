"""Tells a Celery worker that machines are marked for clearing. A lost hint costs a second: the sweeper looks too."""

import redis
import structlog
from kombu.exceptions import OperationalError

from hosting.gateways.presence import client
from marketplace.celery import app

logger = structlog.get_logger(__name__)

TASK = "marketplace.tasks.clear_dirty_machines"
_HINTED = "market:clearing-hinted"
_HINT_SECONDS = 1


def hint_clearing() -> None:
    """Have the marks cleared soon; while a hint is on its way to a worker, another says nothing new."""
    try:
        if client().set(_HINTED, "1", nx=True, ex=_HINT_SECONDS):
            app.send_task(TASK, retry=False)
    except (redis.RedisError, OperationalError) as error:
        logger.warning("clearing_hint_lost", error=str(error))


def hint_heard() -> None:
    """A worker is about to look: whatever is marked from now on needs a new hint."""
    try:
        client().delete(_HINTED)
    except redis.RedisError as error:
        logger.warning("clearing_hint_store_unavailable", error=str(error))
