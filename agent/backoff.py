"""How long to wait before the next try."""

import random


class Backoff:
    """Doubles from ``first_seconds`` to ``most_seconds``; each wait is drawn between half and all of that, so that a
    thousand agents don't come back at the same instant."""

    def __init__(self, first_seconds: float = 0.5, most_seconds: float = 30.0) -> None:
        self._first_seconds = first_seconds
        self._most_seconds = most_seconds
        self._next_seconds = first_seconds

    def next_seconds(self) -> float:
        """The wait after one more failure."""
        wait = self._next_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
        self._next_seconds = min(self._next_seconds * 2, self._most_seconds)
        return wait

    def reset(self) -> None:
        """After a success."""
        self._next_seconds = self._first_seconds
