"""Hosts answer what clients report of their machines."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from billing.web.requests import AccountRequest
from hosting.services.machine_reports import report_answer


@login_required
@require_POST
def answer(request: AccountRequest, report_id: int) -> HttpResponse:
    """Send the answer, and say perhaps that it is solved."""
    solved = request.POST.get("solved") == "on"
    text = request.POST.get("answer", "")
    report = report_answer(report_id=report_id, host=request.user, text=text, solved=solved, now=timezone.now())
    messages.success(request, "Your answer is on its way to the client.")
    return redirect("host_machine", report.machine_id)
