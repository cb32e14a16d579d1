"""When maintenance may be announced."""

from datetime import datetime, timedelta

MOST_AHEAD = timedelta(days=60)
LONGEST = timedelta(days=7)
NOTE_CHARS = 200
MOST_A_DAY = 4
"""Announcements of a machine by its host: each is a mail to everybody who has something there."""


def problem(starts_at: datetime, ends_at: datetime, now: datetime) -> tuple[str, str] | None:
    """What is wrong with such a window, as (field, sentence); None where nothing is."""
    if starts_at < now:
        return "starts_at", "Maintenance is announced before it begins."
    if starts_at > now + MOST_AHEAD:
        return "starts_at", f"Maintenance is announced at most {MOST_AHEAD.days} days ahead."
    if not starts_at < ends_at:
        return "hours", "Maintenance begins before it ends."
    if ends_at - starts_at > LONGEST:
        return "hours", f"Maintenance lasts at most {LONGEST.days} days; to take the machine away longer, unlist it."
    return None
