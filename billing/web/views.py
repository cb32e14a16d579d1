"""Pages about money. They read; nothing here writes."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from billing import selectors
from billing.web.requests import AccountRequest
from billing.web.usage import by_subject

USAGE_PERIOD = timedelta(days=30)
STATEMENT_ROWS = 25


@login_required
@require_GET
def billing(request: AccountRequest) -> HttpResponse:
    """Balance, cost now, what was used, every movement."""
    now = timezone.now()
    usage = by_subject(selectors.charges_by_reference(request.user, now - USAGE_PERIOD, now, now))
    context = {
        **_summary_context(request),
        **_statement_context(request, None),
        "usage": usage,
        "usage_total_micros": sum(row.total_micros for row in usage),
        "usage_days": USAGE_PERIOD.days,
    }
    return render(request, "billing/billing.html", context)


@login_required
@require_GET
def balance(request: AccountRequest) -> HttpResponse:
    """The balance alone, for the header of every page."""
    balance_micros = selectors.balance_micros(request.user, timezone.now())
    return render(request, "billing/_balance.html", {"balance_micros": balance_micros})


@login_required
@require_GET
def summary(request: AccountRequest) -> HttpResponse:
    """The figures at the top of the page, for polling."""
    return render(request, "billing/_summary.html", _summary_context(request))


def _summary_context(request: AccountRequest) -> dict[str, Any]:
    now = timezone.now()
    return {
        "balance_micros": selectors.balance_micros(request.user, now),
        "hourly_cost_micros": selectors.hourly_cost_micros(request.user),
        "spend_limit_micros": selectors.client_spend_limit_micros(request.user),
        "seconds_left": selectors.seconds_left(request.user, now),
        "zero_at": selectors.zero_at(request.user),
        "disks_end_at": selectors.disks_end_at(request.user, now),
    }


@login_required
@require_GET
def statement(request: AccountRequest) -> HttpResponse:
    """Older movements, below the one that ``before`` names."""
    before = request.GET.get("before", "")
    before_id = int(before) if before.isdecimal() and len(before) <= 18 else None
    return render(request, "billing/_statement_rows.html", _statement_context(request, before_id))


def _statement_context(request: AccountRequest, before_id: int | None) -> dict[str, Any]:
    rows = selectors.statement(request.user, limit=STATEMENT_ROWS + 1, before_id=before_id)
    shown = rows[:STATEMENT_ROWS]
    more_before = shown[-1].posting_id if len(rows) > STATEMENT_ROWS else None
    return {"rows": shown, "more_before": more_before}
