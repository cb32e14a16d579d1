"""Days and months of UTC, as bills count them.

Everything that ends at midnight belongs to the day and the month before it: a posting stands at the end of the time
that it pays for. A period therefore holds the instants after its start and up to its end.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

FIRST_YEAR = 2000
LAST_YEAR = 2199
DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days from ``first`` to ``last``."""

    first: date
    last: date

    @property
    def since(self) -> datetime:
        """The midnight that the period begins after."""
        return midnight(self.first)

    @property
    def until(self) -> datetime:
        """The midnight that it ends with."""
        return midnight(self.last) + DAY

    @property
    def days_count(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def days(self) -> list[date]:
        return [self.first + number * DAY for number in range(self.days_count)]


@dataclass(frozen=True, order=True, slots=True)
class Month:
    """A month of the calendar."""

    year: int
    number: int

    @classmethod
    def of(cls, instant: datetime) -> "Month":
        """The month that the instant belongs to."""
        day = day_of(instant)
        return cls(day.year, day.month)

    @property
    def first_day(self) -> date:
        return date(self.year, self.number, 1)

    @property
    def since(self) -> datetime:
        return midnight(self.first_day)

    @property
    def until(self) -> datetime:
        return self.next.since

    @property
    def next(self) -> "Month":
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def previous(self) -> "Month":
        return Month(self.year - (self.number == 1), (self.number - 2) % 12 + 1)

    @property
    def last_day(self) -> date:
        return self.next.first_day - DAY

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"


def midnight(day: date) -> datetime:
    """The instant at which ``day`` begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def day_of(instant: datetime) -> date:
    """The day that the instant belongs to: at midnight the one that ends."""
    return (instant.astimezone(UTC) - INSTANT).date()


def last_days(count: int, now: datetime) -> Period:
    """The last ``count`` days with the present one."""
    today = now.astimezone(UTC).date()
    return Period(today - (count - 1) * DAY, today)


def parse_month(text: str) -> Month | None:
    """The month that "2026-11" names; None for anything else, and for years that no bill is of."""
    found = _MONTH.fullmatch(text)
    if found is None or not FIRST_YEAR <= int(found[1]) <= LAST_YEAR:
        return None
    return Month(int(found[1]), int(found[2]))
