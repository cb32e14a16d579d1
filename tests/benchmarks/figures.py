"""What a benchmark prints: a subject beside its peer, medians, their ratio, the target and whether it is met."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Comparison:
    """Repeated measurements of a subject and a peer that took turns.

    ``ratio`` says which way it is read: "subject/peer" or "peer/subject". One of ``at_most`` and ``at_least`` is the
    target; neither where the figure is for information.
    """

    name: str
    unit: str
    ratio: str = "subject/peer"
    at_most: float | None = None
    at_least: float | None = None
    subject: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)

    def add(self, subject: float, peer: float) -> None:
        """One repeat."""
        self.subject.append(subject)
        self.peer.append(peer)

    @property
    def value(self) -> float:
        """The ratio of the medians."""
        subject, peer = statistics.median(self.subject), statistics.median(self.peer)
        return subject / peer if self.ratio == "subject/peer" else peer / subject

    @property
    def verdict(self) -> str:
        """The target and how it went."""
        if self.at_most is not None:
            return f"target <= {self.at_most:g}: {'pass' if self.value <= self.at_most else 'MISS'}"
        if self.at_least is not None:
            return f"target >= {self.at_least:g}: {'pass' if self.value >= self.at_least else 'MISS'}"
        return "no target"

    def __str__(self) -> str:
        subject, peer = statistics.median(self.subject), statistics.median(self.peer)
        return (
            f"{self.name:<46} {subject:>10.4g} {self.unit}   peer {peer:>10.4g} {self.unit}   "
            f"ratio {self.value:>7.2f}   {self.verdict}   ({len(self.subject)} repeats)"
        )


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The exponent of growth: 0 does not grow, 1 grows as the size does (least squares on logarithms)."""
    xs, ys = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    return statistics.linear_regression(xs, ys).slope


def heading(text: str) -> None:
    """Begin a part."""
    print(f"\n{text}", flush=True)


def tell(text: object) -> None:
    """One line of a part."""
    print(f"  {text}", flush=True)
