"""Pages on which hosts announce maintenance and call it off."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from billing.web.requests import AccountRequest
from hosting.access import machine_for
from hosting.errors import HostingError
from hosting.models import Machine
from hosting.services.quiet_periods import own_maintenance_announce, own_maintenance_cancel
from hosting.web.forms import MaintenanceForm


@login_required
@require_http_methods(["GET", "POST"])
def announce(request: AccountRequest, machine_id: int) -> HttpResponse:
    """Show the dialog, or announce."""
    machine, now = machine_for(request.user, machine_id), timezone.now()
    if request.method != "POST":
        tomorrow = (now + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
        return _page(request, machine, MaintenanceForm(initial={"starts_at": tomorrow, "hours": 2}))
    form = MaintenanceForm(request.POST)
    if not form.is_valid():
        return _page(request, machine, form, status=422)
    starts_at, ends_at, note = form.window()
    try:
        own_maintenance_announce(
            machine_id=machine.pk, host=request.user, starts_at=starts_at, ends_at=ends_at, note=note, now=now
        )
    except HostingError as refusal:
        if refusal.field not in form.fields:
            raise
        form.add_error(refusal.field, refusal.message)
        return _page(request, machine, form, status=422)
    messages.success(request, "Maintenance is announced, and everybody who has something on the machine is told.")
    return _back(request, machine)


@login_required
@require_POST
def cancel(request: AccountRequest, machine_id: int) -> HttpResponse:
    """Call all of it off."""
    number = own_maintenance_cancel(machine_id=machine_id, host=request.user, now=timezone.now())
    messages.success(request, "Maintenance is called off." if number else "No maintenance was announced.")
    return redirect("host_machine", machine_id)


def _back(request: HttpRequest, machine: Machine) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    return redirect("host_machine", machine.pk)


def _page(request: HttpRequest, machine: Machine, form: MaintenanceForm, *, status: int = 200) -> HttpResponse:
    context: dict[str, Any] = {"machine": machine, "form": form}
    return render(request, "hosting/maintenance.html", context, status=status)
