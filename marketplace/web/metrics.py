"""Figures for Prometheus, read at the moment of asking: no process has to remember anything."""

from datetime import datetime

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_GET
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from billing.selectors import exhausted_payers, last_check, overdue_payers
from marketplace.selectors import marks_waiting


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """For staff, and for whoever knows ``METRICS_TOKEN``."""
    if not _may_read(request):
        return HttpResponseForbidden(
            "Send the header Authorization: Bearer METRICS_TOKEN.\n", content_type="text/plain"
        )
    return HttpResponse(generate_latest(_registry(timezone.now())), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    if getattr(request.user, "is_staff", False) and request.user.is_active:
        return True
    sent = request.headers.get("Authorization", "")
    return bool(settings.METRICS_TOKEN) and constant_time_compare(sent, f"Bearer {settings.METRICS_TOKEN}")


def _registry(now: datetime) -> CollectorRegistry:
    registry = CollectorRegistry()
    for name, meaning, value in _figures(now):
        Gauge(f"spotyard_{name}", meaning, registry=registry).set(value)
    return registry


def _figures(now: datetime) -> list[tuple[str, str, float]]:
    last = last_check()
    age_seconds = (now - last.ran_at).total_seconds() if last else float("inf")
    return [
        (
            "ledger_discrepancies",
            "What the last check of the ledger found wrong.",
            last.discrepancies_count if last else 0,
        ),
        ("ledger_check_age_seconds", "Time since the last check of the ledger.", age_seconds),
        ("clients_exhausted", "Clients whose credit is used up and whose meters run.", len(exhausted_payers(now))),
        ("clients_overdue", "Those of them whose disks should be deleted by now.", len(overdue_payers(now))),
        ("clearing_marks_waiting", "Marks of machines that the auction has to look at.", marks_waiting()),
    ]
