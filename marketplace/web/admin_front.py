"""What staff see first in the admin."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from billing.domain.checks import check_alarms
from billing.domain.money import format_dollars
from billing.selectors import exhausted_payers, flights, last_check, overdue_payers
from marketplace.fleet import Fleet, fleet


def dashboard(_request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Called by unfold with the front page's context."""
    now = timezone.now()
    last, state = last_check(), fleet(now)
    return context | {
        "alarms": check_alarms(last, now),
        "last_check": last,
        "exhausted_count": len(exhausted_payers(now)),
        "under_way": flights(),
        "overdue_count": len(overdue_payers(now)),
        "fleet": state,
        "gpu_table": _gpu_table(state),
    }


def _gpu_table(state: Fleet) -> dict[str, Any]:
    """GPUs by model, as unfold's table takes it."""
    headers = ["GPU", "Machines", "GPUs", "Rented", "Occupancy", "Median price, $/h"]
    rows = [
        [
            model.name,
            model.machines,
            model.gpus,
            model.rented,
            f"{model.occupancy_percent}%",
            format_dollars(model.median_micros) if model.median_micros is not None else "not listed",
        ]
        for model in state.models
    ]
    return {"headers": headers, "rows": rows}
