"""Charges of a period, put together by the thing that was used or by the day."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from billing.domain.periods import Period, midnight
from billing.selectors import ReferenceTotal, UseSum


@dataclass
class Amounts:
    """Micro-dollars by kind of use."""

    amounts_micros: dict[str, int] = field(default_factory=dict, kw_only=True)

    def add(self, kind: str, micros: int) -> None:
        """Count ``micros`` more of this kind."""
        self.amounts_micros[kind] = self.amounts_micros.get(kind, 0) + micros

    @property
    def total_micros(self) -> int:
        return sum(self.amounts_micros.values())

    @property
    def gpu_micros(self) -> int:
        return self.amounts_micros.get("gpu", 0)

    @property
    def storage_micros(self) -> int:
        return self.amounts_micros.get("storage", 0)

    @property
    def traffic_micros(self) -> int:
        return self.amounts_micros.get("traffic", 0)


@dataclass
class SubjectCharges(Amounts):
    """What one thing was charged or earned; ``subject`` is e.g. "instance 12" or "machine 7"."""

    subject: str
    number: int


@dataclass
class DayCharges(Amounts):
    """What one day's use came to."""

    day: date


def by_subject(totals: Iterable[ReferenceTotal | UseSum]) -> list[SubjectCharges]:
    """One row for each thing, newest (highest number) first. References look like "instance:12:gpu"."""
    rows: dict[str, SubjectCharges] = {}
    for total in totals:
        subject, number = named(total.reference)
        row = rows.setdefault(subject, SubjectCharges(subject, number))
        row.add(total.kind, total.amount_micros)
    return sorted(rows.values(), key=lambda row: row.number, reverse=True)


def by_earner(sums: Iterable[UseSum]) -> list[SubjectCharges]:
    """One row for each machine, the one that earned most first."""
    rows: dict[str, SubjectCharges] = {}
    for total in sums:
        subject, number = named(total.earner)
        row = rows.setdefault(subject, SubjectCharges(subject, number))
        row.add(total.kind, total.amount_micros)
    return sorted(rows.values(), key=lambda row: (-row.total_micros, row.number))


def by_day(sums: Iterable[UseSum]) -> list[DayCharges]:
    """One row for each day on which something was used, newest first."""
    rows: dict[date, DayCharges] = {}
    for total in sums:
        if total.day is not None:
            rows.setdefault(total.day, DayCharges(total.day)).add(total.kind, total.amount_micros)
    return sorted(rows.values(), key=lambda row: row.day, reverse=True)


def named(reference: str) -> tuple[str, int]:
    """What a reference such as "instance:12:gpu" is about, "instance 12", and its number."""
    thing, _, rest = reference.partition(":")
    number = rest.partition(":")[0]
    return f"{thing} {number}".strip() or "other", int(number) if number.isdecimal() else 0


def chart(period: Period, days: Iterable[DayCharges]) -> dict[str, Any]:
    """What the chart of a period draws: each day's midnight in seconds since 1970 and its micro-dollars."""
    totals = {row.day: row.total_micros for row in days}
    return {
        "days": [int(midnight(day).timestamp()) for day in period.days],
        "micros": [totals.get(day, 0) for day in period.days],
    }
