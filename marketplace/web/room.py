"""The dialog in which a host sees what of a machine is free, and has it cleaned up."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from hosting.access import machine_for
from marketplace.domain.lifetimes import DISK_KEPT
from marketplace.machine_room import leftovers_of, machine_rooms
from marketplace.services.cleanup import cleanup_sentence, machine_cleanup
from marketplace.web.requests import UserRequest

SECONDS_PER_HOUR = 3_600


@login_required
@require_GET
def room(request: UserRequest, machine_id: int) -> HttpResponse:
    """What is free, and what expired contracts left."""
    machine, now = machine_for(request.user, machine_id), timezone.now()
    found = machine_rooms([machine.pk])[0]
    context = {
        "machine": machine,
        "found": found,
        "left": leftovers_of(machine.pk, now),
        "disk_kept_hours": DISK_KEPT.total_seconds() / SECONDS_PER_HOUR,
    }
    return render(request, "marketplace/machine_room.html", context)


@login_required
@require_POST
def cleanup(request: UserRequest, machine_id: int) -> HttpResponse:
    """Remove what expired contracts left and need not be kept."""
    cleaned = machine_cleanup(machine_id=machine_id, host=request.user, now=timezone.now())
    messages.success(request, cleanup_sentence(cleaned))
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    return redirect("host_machine", machine_id)
