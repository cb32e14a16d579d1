"""Daemon threads that run short jobs; made when needed, gone when idle, never holding up the process's end."""

import logging
import queue
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)
_IDLE_SECONDS = 20.0

Job = Callable[[], None]


class Pool:
    """At most ``most_threads`` at once; further jobs wait their turn."""

    def __init__(self, most_threads: int, name: str) -> None:
        self._most_threads = most_threads
        self._name = name
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._excess = 0
        """Unfinished jobs less threads: above zero, a thread is missing."""

    def submit(self, job: Job) -> None:
        """Run the job soon, on another thread."""
        self._jobs.put(job)
        with self._lock:
            self._excess += 1
            if self._excess <= 0 or self._threads >= self._most_threads:
                return
            self._threads += 1
            self._excess -= 1
        threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                if self._retire():
                    return
                continue
            try:
                job()
            except Exception:
                _log.exception("job_failed pool=%s", self._name)
            with self._lock:
                self._excess -= 1

    def _retire(self) -> bool:
        """End this thread, unless a job came in the meantime."""
        with self._lock:
            if not self._jobs.empty():
                return False
            self._threads -= 1
            self._excess += 1
            return True
