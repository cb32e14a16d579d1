"""Counters that only grow, turned into how fast they grow."""


class Rates:
    """One value a key; a counter that went back, as after a restart, says nothing until it is seen again."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, float]] = {}

    def rate(self, key: str, counter: float | None, now: float) -> float | None:
        """Growth a second since the last look; None at the first."""
        if counter is None:
            self._last.pop(key, None)
            return None
        before = self._last.get(key)
        self._last[key] = (counter, now)
        if before is None or counter < before[0] or now <= before[1]:
            return None
        return (counter - before[0]) / (now - before[1])

    def keep(self, keys: set[str]) -> None:
        """Forget all others."""
        self._last = {key: value for key, value in self._last.items() if key in keys}
