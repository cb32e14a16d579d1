"""Earnings: what a host's machines brought in, by day and by machine."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from billing import selectors as billing
from billing.domain.money import exact_dollars
from billing.domain.periods import Period
from billing.web.csv_files import csv_response
from billing.web.period_form import PeriodForm
from billing.web.requests import AccountRequest
from billing.web.usage import SubjectCharges, by_day, by_earner, chart, named
from hosting import selectors

CSV_COLUMNS = ("day_utc", "machine", "instance", "use", "dollars")
FRIDAY = 4


@login_required
@require_GET
def earnings(request: AccountRequest) -> HttpResponse:
    """Earnings to date, this week's so far, and those of a period by day and machine."""
    now = timezone.now()
    return _page(request, PeriodForm(request.GET, today=now.date()), now)


@login_required
@require_GET
def earnings_csv(request: AccountRequest) -> HttpResponseBase:
    """The earnings of the period as a file: each day, each machine, each instance, exact dollars."""
    now = timezone.now()
    form = PeriodForm(request.GET, today=now.date())
    if not form.is_valid():
        return _page(request, form, now)
    period = form.period
    sums = billing.earnings_streamed(
        request.user, ["day", "earner", "reference", "kind"], period.since, period.until, now
    )
    rows = (
        (row.day, named(row.earner)[0], named(row.reference)[0], row.kind, exact_dollars(row.amount_micros))
        for row in sums
    )
    return csv_response(f"earnings-{period.first}-to-{period.last}.csv", CSV_COLUMNS, rows)


def _page(request: AccountRequest, form: PeriodForm, now: datetime) -> HttpResponse:
    period, host = form.period, request.user
    days = by_day(billing.earnings_by(host, ["day", "kind"], period.since, period.until, now))
    context = {
        "form": form,
        "period": period,
        "days": days,
        "chart": chart(period, days),
        "total_micros": sum(row.total_micros for row in days),
        "machines": _machines(host, period, now),
        "balance_earned_micros": billing.host_earnings_micros(host, now),
        "week_since": week_start(now),
        "week_micros": sum(row.amount_micros for row in billing.earnings_by(host, ["kind"], week_start(now), now, now)),
    }
    return render(request, "hosting/earnings.html", context, status=200 if form.is_valid() else 422)


def _machines(host: AbstractBaseUser, period: Period, now: datetime) -> list[dict[str, Any]]:
    """What each machine earned, with what it is where the host still has it."""
    earned = by_earner(billing.earnings_by(host, ["earner", "kind"], period.since, period.until, now))
    own = {machine.pk: machine for machine in selectors.machines_of(host)}
    return [{"row": row, "machine": own.get(row.number) if _is_machine(row) else None} for row in earned]


def _is_machine(row: SubjectCharges) -> bool:
    return row.subject == f"machine {row.number}"


def week_start(now: datetime) -> datetime:
    """The last Friday's midnight in UTC, where the weeks of invoices begin."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=(now.weekday() - FRIDAY) % 7)
