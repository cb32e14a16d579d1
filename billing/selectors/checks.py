"""What the latest proof of the ledger found."""

from billing.domain.checks import LastCheck
from billing.models import LedgerCheckRun


def last_check() -> LastCheck | None:
    """The latest check; None before the first."""
    runs = LedgerCheckRun.objects.order_by("-ran_at", "-pk").values_list("ran_at", "discrepancies_count")
    row = runs.first()
    return None if row is None else LastCheck(*row)
