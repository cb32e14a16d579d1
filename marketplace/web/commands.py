"""The box for short commands on the page of an instance."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from hosting.domain import jobs
from hosting.errors import HostingError
from hosting.models import Job
from marketplace.access import instance_for
from marketplace.errors import MarketError
from marketplace.job_results import Ticket, command_ending, result_text
from marketplace.services.commands import command_run
from marketplace.web.requests import UserRequest


@login_required
@require_POST
def run(request: UserRequest, instance_id: int) -> HttpResponse:
    """Send the command off; a refusal stands where its output would be."""
    command = request.POST.get("command", "")
    try:
        job = command_run(instance_id=instance_id, client=request.user, command=command, now=timezone.now())
    except (MarketError, HostingError) as refusal:
        if refusal.status == 404:
            raise
        return render(request, "marketplace/_command_outcome.html", {"refusal": refusal.message}, status=422)
    return _outcome(request, instance_id, job)


@login_required
@require_GET
def outcome(request: UserRequest, instance_id: int, job_id: int) -> HttpResponse:
    """How a command is, for polling."""
    instance = instance_for(request.user, instance_id)
    job = get_object_or_404(Job, pk=job_id, task_id=instance.task_id, kind=jobs.EXECUTE)
    return _outcome(request, instance_id, job)


def _outcome(request: UserRequest, instance_id: int, job: Job) -> HttpResponse:
    text = result_text(Ticket(instance_id=instance_id, job_id=job.pk))
    context = {
        "instance_id": instance_id,
        "job": job,
        "command": job.arguments["command"],
        "text": text,
        "is_well": job.state == jobs.DONE and not command_ending(job),
    }
    return render(request, "marketplace/_command_outcome.html", context)
