"""The nightly proof, kept so that what it found is not only in a log."""

from dataclasses import asdict
from datetime import datetime

from billing.domain.checks import check_is_due
from billing.models import LedgerCheckRun
from billing.selectors.checks import last_check
from billing.selectors.proofs import ledger_check

KEPT_DISCREPANCIES = 1_000


def ledger_check_record(*, now: datetime) -> LedgerCheckRun:
    """Proves the ledger and records what does not hold (the first thousand of it)."""
    found = ledger_check(now)
    return LedgerCheckRun.objects.create(
        ran_at=now,
        discrepancies_count=len(found),
        discrepancies=[asdict(item) for item in found[:KEPT_DISCREPANCIES]],
    )


def ledger_check_if_due(*, now: datetime) -> LedgerCheckRun | None:
    """The night's proof; None when there was one already."""
    return ledger_check_record(now=now) if check_is_due(last_check(), now) else None
