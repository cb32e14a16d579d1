"""The page on which a host removes a machine."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect

from billing.web.requests import AccountRequest
from hosting.access import machine_for
from hosting.domain.removal import held_problem, removal_problem
from hosting.services.removal import held_by, kept_on, machine_remove


@login_required
@require_http_methods(["GET", "POST"])
def remove(request: AccountRequest, machine_id: int) -> HttpResponse:
    """Say what stands in the way, or ask; then remove it."""
    machine, now = machine_for(request.user, machine_id), timezone.now()
    if request.method != "POST":
        problem = held_problem(held_by(machine)) or removal_problem(kept_on(machine), now)
        return render(request, "hosting/remove.html", {"machine": machine, "problem": problem})
    machine_remove(machine_id=machine.pk, host=request.user, now=now)
    messages.success(request, f"Machine {machine.pk} is removed. What it earned stays on your pages.")
    back = redirect("host_machines")
    return HttpResponseClientRedirect(back.url) if request.headers.get("HX-Request") else back
