"""Whether a machine's ports can be reached from outside: shown on its page, looked at again when its host asks."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from billing.web.requests import AccountRequest
from hosting.access import machine_for
from hosting.models import Machine
from hosting.services.port_checks import ports_ask


def reachability_context(machine: Machine) -> dict[str, Any]:
    """For the card on the machine's page."""
    return {"has_relay": bool(settings.RELAY_HOST), "is_relayed": bool(settings.RELAY_HOST and machine.relay_key)}


@login_required
@require_POST
def check_ports(request: AccountRequest, machine_id: int) -> HttpResponse:
    """Look again whether the ports can be reached."""
    machine = machine_for(request.user, machine_id)
    ports_ask(machine_id=machine.pk, now=timezone.now())
    messages.success(request, "We look at some of the ports from here. The result is on this page in a minute.")
    return redirect("host_machine", machine_id)
