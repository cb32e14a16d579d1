"""Tells a Celery worker that machines are marked for clearing. A lost hint costs a second: the sweeper looks too."""

import os
import threading
import time

import redis
import structlog
from kombu.exceptions import OperationalError

from hosting.gateways.presence import client
from marketplace.celery import app

logger = structlog.get_logger(__name__)

TASK = "marketplace.tasks.clear_dirty_machines"
QUIET_SECONDS = 0.05
_HINTED = "market:clearing-hinted"
_HINT_SECONDS = 1


class _Herald:
    """A thread that sends hints, the first at once and then one in ``QUIET_SECONDS`` at most, so that nobody who bids
    waits for Redis and many bids cost no more than one."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def want(self) -> None:
        """Send a hint soon. Whatever was committed before this call is covered by it."""
        self._wanted.set()
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="clearing-hints", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()  # before sending: whoever commits from now on wants another
            hint_send()
            time.sleep(QUIET_SECONDS)


_herald = _Herald()


def _renew_herald() -> None:
    """Threads don't come along into a forked process."""
    global _herald
    _herald = _Herald()


os.register_at_fork(after_in_child=_renew_herald)


def hint_clearing() -> None:
    """Have the marks that are committed by now cleared soon; returns at once."""
    _herald.want()


def hint_send() -> None:
    """Have the marks cleared; while a hint is on its way to a worker, another says nothing new."""
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
