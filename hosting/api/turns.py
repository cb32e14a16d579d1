"""What one machine may ask of a process at a time, whatever its agent does: the rest belongs to the others."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from hosting.errors import HostingError
from hosting.gateways.wakeup import Listener

AT_ONCE = 2
"""Reports of one credential that are worked on: that of an agent, and that of the one which takes its place."""


class Turns:
    """For one event loop."""

    def __init__(self) -> None:
        self._working: Counter[str] = Counter()
        self._holding: dict[int, Listener] = {}

    @contextmanager
    def working(self, credential: str) -> Iterator[None]:
        """Around a report. Raises HostingError: too_many_reports (429)."""
        if self._working[credential] >= AT_ONCE:
            raise HostingError(
                "too_many_reports", "This machine has other reports under way. Send one at a time.", status=429
            )
        self._working[credential] += 1
        try:
            yield
        finally:
            self._working[credential] -= 1
            if not self._working[credential]:
                del self._working[credential]

    @contextmanager
    def holding(self, machine_id: int, listener: Listener) -> Iterator[None]:
        """Around a request that is held: the machine's one before is answered now."""
        before = self._holding.get(machine_id)
        self._holding[machine_id] = listener
        if before is not None:
            before.end()
        try:
            yield
        finally:
            if self._holding.get(machine_id) is listener:
                del self._holding[machine_id]
