"""Tells a Celery worker that a provider's event waits. A lost hint costs a second: the task runs by the clock too."""

import redis
import structlog
from celery import current_app
from kombu.exceptions import OperationalError

logger = structlog.get_logger(__name__)

TASK = "billing.tasks.process_provider_events"


def hint_events() -> None:
    """Have the events that are committed by now processed soon."""
    try:
        current_app.send_task(TASK, retry=False)
    except (redis.RedisError, OperationalError, OSError) as error:
        logger.warning("event_hint_lost", error=str(error))
