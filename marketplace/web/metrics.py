"""Figures for Prometheus, read at the moment of asking: no process has to remember anything."""

from datetime import datetime

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_GET
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from billing.selectors import exhausted_payers, flights, last_check, overdue_payers
from hosting.connecting import relay_now
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
    last, under_way = last_check(), flights()
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
        ("payments_in_flight", "Payments whose end is not known yet.", under_way.payments),
        ("payouts_in_flight", "Payouts that were made and have not arrived.", under_way.payouts),
        ("provider_events_waiting", "Events of providers that were not processed yet.", under_way.events),
        ("adjustments_waiting", "Adjustments that wait for a second person.", under_way.adjustments),
        *_relay_figures(now),
    ]


def _relay_figures(now: datetime) -> list[tuple[str, str, float]]:
    """What the relay last said of itself; only its age where none ever ran."""
    relay = relay_now()
    age = (now - relay.seen_at).total_seconds() if relay else float("inf")
    told = [("relay_age_seconds", "Time since the relay last told of itself.", age)]
    if relay is None:
        return told
    return [
        *told,
        ("relay_machines", "Machines that are logged in to the relay.", relay.machines),
        ("relay_ports", "Public ports of the relay that are open.", relay.ports),
        ("relay_connections", "Clients' connections through the relay.", relay.connections),
        ("relay_connections_since_start", "All of them since it started.", relay.connections_total),
        ("relay_connections_refused_since_start", "Those over a limit.", relay.connections_refused),
        ("relay_bytes_in_since_start", "Bytes from clients.", relay.bytes_in),
        ("relay_bytes_out_since_start", "Bytes to clients.", relay.bytes_out),
    ]
