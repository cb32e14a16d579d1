"""The page that shows what an instance writes, while it writes it."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from hosting.gateways import live_logs
from hosting.models import Job
from hosting.outputs import kept_log, kept_log_until
from marketplace.access import instance_with_log_for
from marketplace.api.results import result_url
from marketplace.domain import instance_states as states
from marketplace.domain.log_text import complete_part, readable
from marketplace.errors import MarketError
from marketplace.job_results import Ticket, nothing_yet
from marketplace.models import Instance
from marketplace.services.instance_logs import has_no_container, log_request, log_watch
from marketplace.web.instance_view import instance_views
from marketplace.web.requests import UserRequest

KEPT = "kept"
"""Name of the stream of an instance whose container is gone."""


@login_required
@require_GET
def logs(request: UserRequest, instance_id: int) -> HttpResponse:
    """The frame; the lines come by ``tail``."""
    now = timezone.now()
    found = instance_with_log_for(request.user, instance_id, now)
    context = {
        "view": instance_views([found], now)[0],
        "is_destroyed": found.state == states.DESTROYED,
        "kept_until": kept_log_until(found.task),
    }
    return render(request, "marketplace/logs.html", context)


@login_required
@require_GET
def tail(request: UserRequest, instance_id: int) -> HttpResponse:
    """What came after what the page has, as JSON. That somebody asks keeps the stream from the machine going.

    ``stream`` and ``after`` say what the page has. The reply's ``text`` is whole lines, ``partial`` the beginning of
    the next one; ``reset`` says that the page begins anew. ``note`` is a sentence where there is something to say.
    """
    now = timezone.now()
    instance = instance_with_log_for(request.user, instance_id, now)
    try:
        job = log_watch(instance=instance, client=request.user, now=now)
    except MarketError as refusal:
        return JsonResponse({"note": refusal.message, "text": "", "partial": "", "reset": False})
    if job is None:
        return JsonResponse(_kept(instance, request.GET.get("stream", "")))
    return JsonResponse(_streamed(instance, job, request.GET))


def _kept(instance: Instance, stream: str) -> dict[str, Any]:
    """All at once, where the page does not have it: nothing is added to it any more."""
    text = readable(kept_log(instance.task))
    name = f"{KEPT}-{instance.state}-{len(text)}"
    note = "" if text else nothing_yet(instance).strip()
    return {
        "stream": name,
        "next": 0,
        "reset": stream != name,
        "text": "" if stream == name else text,
        "partial": "",
        "note": note,
        "over": instance.state == states.DESTROYED,
    }


def _streamed(instance: Instance, job: Job, asked: Any) -> dict[str, Any]:
    is_same = asked.get("stream") == str(job.pk)
    after = int(asked["after"]) if is_same and asked.get("after", "").isdecimal() else 0
    piece = live_logs.read(job.pk, after)
    if piece is None:
        return {"reset": False, "text": "", "partial": "", "note": _waiting(instance, job)}
    whole = complete_part(piece.content)
    return {
        "stream": str(job.pk),
        "next": piece.start + len(whole),
        "reset": not is_same or piece.start != after,
        "text": readable(whole),
        "partial": readable(piece.content[len(whole) :]),
        "note": "" if piece.end else nothing_yet(instance).strip(),
        "over": False,
    }


def _waiting(instance: Instance, job: Job) -> str:
    if not instance.machine.online:
        return "The machine can't be reached now. The log goes on when it is back."
    if not job.is_open and job.message:
        return f"The log could not be read: {job.message}"
    return "Waiting for the machine…"


@login_required
@require_POST
def ask(request: UserRequest, instance_id: int) -> HttpResponse:
    """Have the whole end of the log fetched, to be downloaded; the address where it will be."""
    now = timezone.now()
    instance = instance_with_log_for(request.user, instance_id, now)
    try:
        job = log_request(instance=instance, client=request.user, now=now)
    except MarketError as refusal:
        return JsonResponse({"error": refusal.code, "msg": refusal.message}, status=refusal.status)
    ticket = Ticket(instance_id=instance.pk, job_id=job.pk if job else None)
    return JsonResponse({"result_url": result_url(request, ticket), "fetching": not has_no_container(instance)})
