"""A machine's score against its own past."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

DROP_SHARE = 0.10
"""A score that is lower than this by its machine's usual one is worth a look."""
RUNS_COMPARED = 10
"""A machine's usual score is the median of its latest runs, this many at most: old ones tell little about it now."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A score beside the usual one. ``change`` is the difference as a part of the usual one, negative for less."""

    usual: float
    change: float

    @property
    def is_drop(self) -> bool:
        """Whether the score has fallen by more than DROP_SHARE."""
        return self.change < -DROP_SHARE


def compare(score: float, earlier: Sequence[float]) -> Comparison | None:
    """The score against those of earlier runs of the same kind, the oldest first; None without any.

    The median lets no single bad run hide a drop or make one up. Runs that are themselves drops count as well: a
    machine that stays slow is flagged until that has become usual. Scores of 0 can't be compared with and are left out.
    """
    known = [one for one in earlier if one > 0][-RUNS_COMPARED:]
    if not known:
        return None
    usual = median(known)
    return Comparison(usual=usual, change=(score - usual) / usual)
