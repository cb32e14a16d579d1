"""When the ledger is to be proven, and when staff must be alarmed about it. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

CHECK_HOUR, CHECK_MINUTE = 3, 20
"""UTC; the quietest time of most nights."""
CHECK_OVERDUE_AFTER = timedelta(hours=26)


@dataclass(frozen=True, slots=True)
class LastCheck:
    """The latest proof of the ledger: when, and how many things did not hold."""

    ran_at: datetime
    discrepancies_count: int


def check_is_due(last: LastCheck | None, now: datetime) -> bool:
    """Whether no check has run since the last time one should have: a night that everybody slept through is made up
    for.
    """
    tonight = now.replace(hour=CHECK_HOUR, minute=CHECK_MINUTE, second=0, microsecond=0)
    latest = tonight if tonight <= now else tonight - timedelta(days=1)
    return last is None or last.ran_at < latest


def check_alarms(last: LastCheck | None, now: datetime) -> list[str]:
    """What staff must be told about the books, in sentences; nothing when all is well."""
    if last is None:
        return ["The ledger has never been checked."]
    alarms = []
    if last.discrepancies_count:
        when, count = f"{last.ran_at:%Y-%m-%d %H:%M} UTC", last.discrepancies_count
        alarms.append(f"The check of {when} found {count} discrepancies in the ledger.")
    if now - last.ran_at > CHECK_OVERDUE_AFTER:
        alarms.append(f"The ledger was last checked at {last.ran_at:%Y-%m-%d %H:%M} UTC, more than a day ago.")
    return alarms
