"""Verification on a host's pages: how its challenges went, what was found, and its appeals."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from billing.selectors import hold_by_reference
from billing.web.requests import AccountRequest
from hosting.access import machine_for
from hosting.domain import measuring, verification
from hosting.domain.requirements import lacks
from hosting.errors import HostingError
from hosting.machine_claims import facts_of_machine
from hosting.models import Machine, Measurement
from hosting.selectors import dlperf_image
from hosting.services.challenge_sweeps import challenge_ask
from hosting.services.verification_cases import case_appeal, hold_reference

RUNS_SHOWN = 10


def verification_context(machine: Machine) -> dict[str, Any]:
    """What the machine's page tells of its verification. Findings of checks that are being tried out are not shown."""
    challenges = machine.measurements.filter(kind=Measurement.Kind.CHALLENGE)
    runs = machine.challenge_runs.select_related("measurement").order_by("-judged_at", "-pk")[:RUNS_SHOWN]
    shown = [{"run": run, "findings": run.findings.filter(shadow=False).order_by("pk")} for run in runs]
    case = machine.verification_cases.order_by("-pk").first()
    return {
        "can_challenge": bool(dlperf_image(machine)),
        "challenges": shown,
        "lacks": lacks(facts_of_machine(machine)),
        "open_challenge": challenges.filter(state__in=measuring.OPEN).first(),
        "case": case,
        "case_hold": hold_by_reference(hold_reference(case.pk)) if case else None,
        "case_may_be_appealed": verification.CASE_OPEN,
    }


@login_required
@require_POST
def challenge(request: AccountRequest, machine_id: int) -> HttpResponse:
    """Challenge the machine as soon as nobody uses it."""
    try:
        challenge_ask(machine_id=machine_id, host=request.user, now=timezone.now())
    except HostingError as refusal:
        if refusal.status == 404:
            raise
        messages.error(request, refusal.message)
    else:
        messages.success(request, "The challenge begins as soon as the machine is online and nobody uses it.")
    return redirect("host_machine", machine_id)


@login_required
@require_POST
def appeal(request: AccountRequest, machine_id: int, case_id: int) -> HttpResponse:
    """The host's words about a case against its machine."""
    machine_for(request.user, machine_id)
    try:
        case_appeal(case_id=case_id, host=request.user, text=request.POST.get("text", ""), now=timezone.now())
    except HostingError as refusal:
        if refusal.status == 404:
            raise
        messages.error(request, refusal.message)
    else:
        messages.success(request, "Your appeal is with our staff, who decide.")
    return redirect("host_machine", machine_id)
