"""Logs of containers that are gone, on their way to the server.

The end of a log is on this machine's disk before its container is deleted, so nothing waits for a server that is away;
it is handed in as soon as the server takes it, and given up after a day.
"""

import logging
import re
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from agent.backoff import Backoff
from agent.engine.types import ContainerGoneError, Engine, TaskError
from agent.jobs.courier import Courier
from agent.logs import say
from agent.protocol import MOST_KEPT_LOG_BYTES
from agent.server import RefusedError, ServerAwayError
from agent.tasks.memory import write_durably

_log = logging.getLogger(__name__)

_GIVEN_UP_SECONDS = 24 * 3600.0
_MOST_FILES = 500
_LOOK_SECONDS = 30.0
_NAME = re.compile(r"log-([0-9]+)-([0-9a-zA-Z-]+)\.z")


class KeptLogs:
    """``keep`` before a container goes; ``hand_in`` whenever the server may listen. Both may be done again."""

    def __init__(self, directory: Path, engine: Engine) -> None:
        self._directory = directory
        self._engine = engine
        self._news = threading.Event()
        self._ending = threading.Event()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def keep(self, task_id: int, container_id: str) -> None:
        """Write the end of the container's log down. What hinders that never hinders what follows."""
        try:
            tail = self._engine.log_tail(container_id, MOST_KEPT_LOG_BYTES)
            if tail.content:
                write_durably(self._file(task_id, container_id), zlib.compress(tail.content))
        except (ContainerGoneError, TaskError, OSError) as error:
            say(_log, "log_not_kept", level=logging.WARNING, task=task_id, why=error)
            return
        self._news.set()

    def pending(self) -> int:
        """How many logs wait for the server."""
        return sum(1 for _ in self._directory.glob("log-*.z"))

    def start(self, courier: Courier) -> None:
        """Hand in from a thread of its own, until ``stop``."""
        threading.Thread(target=self._run, args=(courier,), name="kept-logs", daemon=True).start()

    def stop(self) -> None:
        self._ending.set()
        self._news.set()

    def hand_in(self, courier: Courier) -> bool:
        """Offer every log to the server; False where it is away."""
        for file, task_id, container_id in self._waiting():
            try:
                courier.send_log(task_id, container_id, file.read_bytes())
            except ServerAwayError as error:
                say(_log, "log_not_handed_in", level=logging.WARNING, task=task_id, why=error)
                return False
            except RefusedError as error:
                say(_log, "log_refused", level=logging.WARNING, task=task_id, error=error.error)
            except FileNotFoundError:
                continue
            file.unlink(missing_ok=True)
        return True

    def _run(self, courier: Courier) -> None:
        backoff = Backoff()
        while not self._ending.is_set():
            self._news.clear()
            if self._safely(lambda: self.hand_in(courier)):
                backoff.reset()
                self._news.wait(_LOOK_SECONDS)
            else:
                self._ending.wait(backoff.next_seconds())

    def _safely(self, work: Callable[[], bool]) -> bool:
        try:
            return work()
        except OSError:
            _log.exception("kept_logs_failed")
            return False

    def _waiting(self) -> list[tuple[Path, int, str]]:
        """The logs that are here, the oldest first; those that are too old or too many are dropped."""
        dated = sorted((file.stat().st_mtime, file) for file in self._directory.glob("log-*.z"))
        oldest = time.time() - _GIVEN_UP_SECONDS
        excess = len(dated) - _MOST_FILES
        found = []
        for number, (written_at, file) in enumerate(dated):
            match = _NAME.fullmatch(file.name)
            if match is None or number < excess or written_at < oldest:
                file.unlink(missing_ok=True)
            else:
                found.append((file, int(match[1]), match[2]))
        return found

    def _file(self, task_id: int, container_id: str) -> Path:
        return self._directory / f"log-{task_id}-{container_id}.z"
