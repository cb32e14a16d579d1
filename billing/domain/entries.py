"""A ledger entry before it is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from billing.domain.errors import UnbalancedEntryError

Detail = str | int | None


@dataclass(frozen=True, slots=True)
class Line:
    """One movement: positive amounts are to the credit of the account's holder."""

    account_id: int
    amount_micros: int


@dataclass(frozen=True, slots=True)
class EntryDraft:
    """Lines that belong together and sum to zero; lines of zero are left out when written."""

    idempotency_key: str
    kind: str
    memo: str
    occurred_at: datetime
    lines: tuple[Line, ...]
    actor_id: int | None = None
    meter_id: int | None = None
    details: Mapping[str, Detail] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises UnbalancedEntryError unless the lines sum to zero and move something."""
        if sum(line.amount_micros for line in self.lines):
            raise UnbalancedEntryError(f"The lines of entry {self.idempotency_key!r} do not sum to zero.")
        if not self.moving_lines:
            raise UnbalancedEntryError(f"Entry {self.idempotency_key!r} moves nothing.")

    @property
    def moving_lines(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.amount_micros)
