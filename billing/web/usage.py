"""Charges of a period, put together by the thing that was used."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from billing.selectors import ReferenceTotal


@dataclass
class SubjectCharges:
    """What one thing was charged; ``subject`` is e.g. "instance 12", amounts are micro-dollars by kind of use."""

    subject: str
    number: int
    amounts_micros: dict[str, int] = field(default_factory=dict)

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


def by_subject(totals: Iterable[ReferenceTotal]) -> list[SubjectCharges]:
    """One row for each thing, newest (highest number) first. References look like "instance:12:gpu"."""
    rows: dict[str, SubjectCharges] = {}
    for total in totals:
        kind_of_thing, _, rest = total.reference.partition(":")
        number = rest.partition(":")[0]
        subject = f"{kind_of_thing} {number}".strip()
        row = rows.setdefault(subject, SubjectCharges(subject, int(number) if number.isdecimal() else 0))
        row.amounts_micros[total.kind] = row.amounts_micros.get(total.kind, 0) + total.amount_micros
    return sorted(rows.values(), key=lambda row: row.number, reverse=True)
