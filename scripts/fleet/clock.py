"""Does things later, on one thread for the whole fleet."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Clock:
    """``after`` may be called from any thread; what is due runs on the clock's own and must be short."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._ended = False

    def start(self) -> None:
        """Begin to run what is due."""
        threading.Thread(target=self._run, name="clock", daemon=True).start()

    def stop(self) -> None:
        """Run nothing more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def now(self) -> float:
        """In seconds; it never goes back."""
        return time.monotonic()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something once, so many seconds from now."""
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), action))
            self._changed.notify_all()

    def _run(self) -> None:
        while (action := self._next()) is not None:
            try:
                action()
            except Exception:
                _log.exception("the clock's action failed")

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._ended:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait)
        return None
