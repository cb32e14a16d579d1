"""Earnings that are held: the amount of one case, of what would else be paid. Pure."""

from dataclasses import dataclass

HELD = "held"  # the case is not decided
UPHELD = "upheld"  # decided against the host; staff say what becomes of the amount
RELEASED = "released"  # it is paid as all else
FORFEITED = "forfeited"  # the marketplace kept it
TRANSITIONS: dict[str, frozenset[str]] = {
    HELD: frozenset({UPHELD, RELEASED}),
    UPHELD: frozenset({RELEASED, FORFEITED}),
    RELEASED: frozenset(),
    FORFEITED: frozenset(),
}
OPEN = (HELD, UPHELD)


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of a host's earnings, in micro-dollars, by all of its open holds together."""

    amount_micros: int = 0
    due_micros: int = 0
    """The part of it that would be paid with the week in question; the rest was earned later."""

    @property
    def later_micros(self) -> int:
        return self.amount_micros - self.due_micros


NOTHING = Held()


def covered_micros(held_micros: int, balance_micros: int) -> int:
    """How much of what is held is there: earnings that were paid before the hold are not."""
    return max(0, min(held_micros, balance_micros))
