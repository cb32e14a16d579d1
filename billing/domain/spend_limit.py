"""How much a client may spend an hour, from what is known of it. Pure.

A card that pays today may be found stolen next week. So money that has just come in counts for nothing here; what has
been used and stayed paid does, and so does what staff gave. Whoever spends all it may can spend twice as much an hour
later.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class History:
    """A client so far, in micro-dollars."""

    granted_micros: int
    """All credit that staff gave."""
    used_micros: int
    """All that was charged for use."""
    posted_balance_micros: int
    """Negative is a debt: use that was not paid for, or whose payment was taken back."""


def spend_limit_micros(history: History, floor_micros: int) -> int:
    """Micros per hour: what the client has used and paid for, or was given, in all. ``floor_micros`` at least."""
    paid_use_micros = history.used_micros + min(0, history.posted_balance_micros)
    return max(floor_micros, history.granted_micros, paid_use_micros)
