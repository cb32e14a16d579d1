"""Pages about money. They read; nothing here writes."""

from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from billing import selectors
from billing.domain.money import exact_dollars
from billing.domain.periods import Period
from billing.web.csv_files import csv_response
from billing.web.period_form import PeriodForm
from billing.web.requests import AccountRequest
from billing.web.usage import by_day, by_subject, chart, named

STATEMENT_ROWS = 25
CSV_COLUMNS = ("day_utc", "instance", "use", "meter", "dollars")


@login_required
@require_GET
def billing(request: AccountRequest) -> HttpResponse:
    """Balance, cost now, what was used in a period, every movement."""
    now = timezone.now()
    return _billing_page(request, PeriodForm(request.GET, today=now.date()), now)


@login_required
@require_GET
def charges_csv(request: AccountRequest) -> HttpResponseBase:
    """The charges of the period as a file: each day, each meter, exact dollars."""
    now = timezone.now()
    form = PeriodForm(request.GET, today=now.date())
    if not form.is_valid():
        return _billing_page(request, form, now)
    period = form.period
    sums = selectors.charges_streamed(request.user, ["day", "reference", "kind"], period.since, period.until, now)
    rows = (
        (row.day, named(row.reference)[0], row.kind, row.reference, exact_dollars(row.amount_micros)) for row in sums
    )
    return csv_response(f"charges-{period.first}-to-{period.last}.csv", CSV_COLUMNS, rows)


def _billing_page(request: AccountRequest, form: PeriodForm, now: datetime) -> HttpResponse:
    context = {
        **_summary_context(request),
        **_statement_context(request, None),
        **_charges_context(request, form.period, now),
        "form": form,
    }
    return render(request, "billing/billing.html", context, status=200 if form.is_valid() else 422)


def _charges_context(request: AccountRequest, period: Period, now: datetime) -> dict[str, Any]:
    totals = selectors.charges_by(request.user, ["reference", "kind"], period.since, period.until, now)
    days = by_day(selectors.charges_by(request.user, ["day", "kind"], period.since, period.until, now))
    usage = by_subject(totals)
    return {
        "period": period,
        "usage": usage,
        "usage_total_micros": sum(row.total_micros for row in usage),
        "days": days,
        "chart": chart(period, days),
    }


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
