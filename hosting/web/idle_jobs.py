"""Create Job: the host's own jobs, and how they stand."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.web.requests import AccountRequest
from hosting import selectors
from hosting.domain.idle_jobs import IDLE_RESTART_SECONDS
from hosting.errors import HostingError
from hosting.models import Machine
from hosting.services.idle_jobs import idle_job_remove, idle_job_set
from hosting.web.forms import IdleJobForm
from hosting.web.idle_job_view import idle_jobs_of


@login_required
@require_GET
def jobs(request: AccountRequest) -> HttpResponse:
    """The present jobs alone, for polling."""
    return render(request, "hosting/_idle_jobs.html", _jobs_context(request))


def _jobs_context(request: AccountRequest) -> dict[str, Any]:
    return {"jobs": idle_jobs_of(request.user), "restart_seconds": IDLE_RESTART_SECONDS}


@login_required
@require_http_methods(["GET", "POST"])
def create(request: AccountRequest) -> HttpResponse:
    """The form of an idle job, for the machine in ``?machine=`` if any, and all present jobs."""
    own = list(selectors.machines_of(request.user))
    if request.method != "POST":
        return _page(request, own, IdleJobForm.for_machine(_asked_for(request, own), own))
    form = IdleJobForm(request.POST, machines=own)
    if not form.is_valid():
        return _page(request, own, form, status=422)
    try:
        job = _set(request, form.cleaned_data)
    except HostingError as refusal:
        if refusal.field not in form.fields:
            raise
        form.add_error(refusal.field, refusal.message)
        return _page(request, own, form, status=422)
    messages.success(request, f"Machine {job.machine_id} has its idle job. It runs on every GPU that nobody else uses.")
    return redirect("host_job_create")


def _set(request: AccountRequest, data: dict[str, Any]) -> Any:
    return idle_job_set(
        machine_id=data["machine_id"],
        host=request.user,
        image=data["image"].strip(),
        args=list(data["args"]),
        price_micros_per_gpu_hour=data["price_micros_per_gpu_hour"],
        now=timezone.now(),
    )


def _asked_for(request: HttpRequest, own: list[Any]) -> Machine | None:
    asked = request.GET.get("machine", "")
    named = (machine for machine in own if str(machine.pk) == asked)
    return next(named, own[0] if len(own) == 1 else None)


def _page(request: AccountRequest, own: list[Any], form: IdleJobForm, *, status: int = 200) -> HttpResponse:
    context = {"form": form, "machines": own} | _jobs_context(request)
    return render(request, "hosting/job_create.html", context, status=status)


@login_required
@require_POST
def remove(request: AccountRequest, machine_id: int) -> HttpResponse:
    """End the machine's idle job."""
    idle_job_remove(machine_id=machine_id, host=request.user, now=timezone.now())
    messages.success(request, f"The idle job of machine {machine_id} is removed, and its floor under bids with it.")
    return redirect("host_job_create")
