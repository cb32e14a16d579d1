"""What staff see first in the admin."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from billing.domain.checks import check_alarms
from billing.selectors import exhausted_payers, last_check, overdue_payers


def dashboard(_request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Called by unfold with the front page's context."""
    now = timezone.now()
    last = last_check()
    return context | {
        "alarms": check_alarms(last, now),
        "last_check": last,
        "exhausted_count": len(exhausted_payers(now)),
        "overdue_count": len(overdue_payers(now)),
    }
