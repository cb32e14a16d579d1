"""Warm-up, repeats and what they come to, within a share of the time that is left."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

LEAST_SAMPLES = 3
MOST_SAMPLES = 50
WARM_UP_PART = 0.3
"""Of its time, what a measurement runs before it counts: libraries choose kernels, clocks and caches settle."""
DIGITS = 6
PICO = 1e-9
"""No step takes less: a clock that stood still must not divide by zero."""

Step = Callable[[], object]
Clock = Callable[[], float]


class TimeUpError(Exception):
    """The run has no time left for this measurement."""


@dataclass(frozen=True)
class Measured:
    """Rates a second, one for each sample."""

    rates: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one, or the mean of the two in the middle."""
        ordered = sorted(self.rates)
        return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2

    @property
    def spread(self) -> float:
        """Largest less smallest, as a part of the median."""
        return (max(self.rates) - min(self.rates)) / self.median

    def as_json(self) -> dict[str, float | int]:
        """As the result shows it."""
        return {
            "median": significant(self.median),
            "spread": round(self.spread, 4),
            "samples": len(self.rates),
        }


def significant(value: float) -> float:
    """The value to ``DIGITS`` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def shares(weights: Sequence[float], seconds: float) -> list[float]:
    """The seconds divided by weights."""
    total = sum(weights)
    return [seconds * weight / total for weight in weights]


@dataclass
class Budget:
    """The time that a run has left, in seconds, by a clock that only goes forward."""

    seconds: float
    clock: Clock = time.monotonic
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def used(self) -> float:
        """Seconds since the run began."""
        return self.clock() - self.started

    def left(self) -> float:
        """Seconds until the run has to end; negative past that."""
        return self.seconds - self.used()

    def share(self, weight: float, weights_after: float) -> float:
        """The next measurement's part of what is left. Raises TimeUpError if nothing is."""
        left = self.left()
        if left <= 0:
            raise TimeUpError("The time was up.")
        return shares([weight, weights_after], left)[0]


@dataclass(frozen=True)
class Timer:
    """Measures rates: how long a sample takes at least, and what makes an asynchronous device's work count as done."""

    settle: Step
    sample_seconds: float
    clock: Clock = time.perf_counter

    def rate(self, step: Step, *, items: float, seconds: float) -> Measured:
        """Items a second of a step that processes ``items``, from ``LEAST_SAMPLES`` samples or more.

        At least one step warms up. What takes longer than its share of ``seconds`` still gets its least samples, of one
        step each.
        """
        begun = self.clock()
        one_step = self._warm_up(step, seconds * WARM_UP_PART)
        steps = max(1, round(self.sample_seconds / one_step))
        rates: list[float] = []
        while len(rates) < LEAST_SAMPLES or (len(rates) < MOST_SAMPLES and self.clock() - begun < seconds):
            rates.append(items * steps / self._run(step, steps))
        return Measured(tuple(rates))

    def _warm_up(self, step: Step, seconds: float) -> float:
        """Run for the time; how many seconds the last step took."""
        begun = self.clock()
        taken = self._run(step, 1)
        while self.clock() - begun < seconds:
            taken = self._run(step, 1)
        return taken

    def _run(self, step: Step, steps: int) -> float:
        begun = self.clock()
        for _ in range(steps):
            step()
        self.settle()
        return max(self.clock() - begun, PICO)
