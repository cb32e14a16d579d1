"""One user at a time for the disk of a container that does not run: whoever looks into it makes way for a step."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PATIENCE_SECONDS = 20.0
"""Far more than a killed process takes to be gone."""


class DiskBusyError(Exception):
    """The disk is used for something else, or about to be."""


class DiskGuard:
    """Two mounts of one disk would spoil it, so a start, a move and a removal first end whoever has it mounted."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._users: dict[int, Callable[[], None]] = {}
        self._kept_free: dict[int, int] = {}

    @contextmanager
    def using(self, task_id: int, end: Callable[[], None], *, wait_seconds: float = 0.0) -> Iterator[None]:
        """Use the disk of a task; ``end`` is called, from another thread, where it has to be left at once.

        Raises ``DiskBusyError`` where it is not free within ``wait_seconds``.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_free(task_id), wait_seconds):
                raise DiskBusyError
            self._users[task_id] = end
        try:
            yield
        finally:
            with self._changed:
                del self._users[task_id]
                self._changed.notify_all()

    @contextmanager
    def kept_free(self, task_id: int) -> Iterator[None]:
        """Nobody uses the disk of the task inside the block; who does is ended."""
        with self._changed:
            self._kept_free[task_id] = self._kept_free.get(task_id, 0) + 1
            end = self._users.get(task_id)
        try:
            if end is not None:
                end()
                with self._changed:
                    self._changed.wait_for(lambda: task_id not in self._users, _PATIENCE_SECONDS)
            yield
        finally:
            with self._changed:
                self._kept_free[task_id] -= 1
                if not self._kept_free[task_id]:
                    del self._kept_free[task_id]
                self._changed.notify_all()

    def _is_free(self, task_id: int) -> bool:
        return task_id not in self._users and task_id not in self._kept_free
