"""Counts what happens in a drill and says so in a line."""

import statistics
import threading
import time
from collections import Counter, deque

KEPT = 2000
"""Of each kind of latency, the latest."""


class Tally:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._seconds: dict[str, deque[float]] = {}
        self._began = time.monotonic()

    def count(self, what: str) -> None:
        """Once more."""
        with self._lock:
            self._counts[what] += 1

    def took(self, what: str, seconds: float) -> None:
        """How long something took."""
        with self._lock:
            self._counts[what] += 1
            self._seconds.setdefault(what, deque(maxlen=KEPT)).append(seconds)

    def counts(self) -> dict[str, int]:
        """All counts by name."""
        with self._lock:
            return dict(self._counts)

    def line(self, states: dict[str, int]) -> str:
        """How all is now, in one line."""
        with self._lock:
            seconds = {what: list(times) for what, times in self._seconds.items()}
            errors = {what: number for what, number in self._counts.items() if what.startswith("error")}
        parts = [f"{time.monotonic() - self._began:5.0f} s"]
        parts += [f"{number} {state}" for state, number in sorted(states.items())]
        parts += [f"{what} {spread(times)}" for what, times in sorted(seconds.items())]
        parts += [f"{number}x {what}" for what, number in sorted(errors.items())]
        return "  ".join(parts)


def spread(seconds: list[float]) -> str:
    """Median and 95th percentile in milliseconds: "12/80 ms"."""
    ordered = sorted(seconds)
    late = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return f"{statistics.median(ordered) * 1000:.0f}/{late * 1000:.0f} ms"
