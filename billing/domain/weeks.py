"""Weeks as hosts are invoiced by: from Friday 00:00 UTC to the next.

A week has what took effect after its start and up to its end, both included in no other week: a posting belongs to
the end of the time it pays for, so what accrued until Friday 00:00 is dated exactly then.
"""

from datetime import UTC, datetime, timedelta

WEEK = timedelta(days=7)
_A_FRIDAY = datetime(1970, 1, 2, tzinfo=UTC)


def week_end_by(instant: datetime) -> datetime:
    """The end of the last week that is over at ``instant``; a Friday 00:00 UTC is the end of its own week."""
    return _A_FRIDAY + (instant - _A_FRIDAY) // WEEK * WEEK


def week_end_after(instant: datetime) -> datetime:
    """The end of the week that something belongs to which took effect at ``instant``."""
    return _A_FRIDAY - (_A_FRIDAY - instant) // WEEK * WEEK
