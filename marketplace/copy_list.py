"""Copies into and out of an instance, as pages and API show them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from hosting.domain import jobs
from hosting.models import Job
from marketplace.domain import copies
from marketplace.models import Copy, Instance

SHOWN_FOR = timedelta(hours=24)
MOST_SHOWN = 20
_OPEN, _DONE, _FAILED, _CANCELED = ("Copying", "busy"), ("Copied", "good"), ("Failed", "bad"), ("Canceled", "quiet")
_COPY_STATES = {copies.OPEN: _OPEN, copies.DONE: _DONE, copies.FAILED: _FAILED, copies.CANCELED: _CANCELED}
_JOB_STATES = {jobs.DONE: _DONE, jobs.FAILED: _FAILED, jobs.EXPIRED: _FAILED, jobs.CANCELED: _CANCELED}
_WAITING = "Waiting for the machine."


@dataclass(frozen=True)
class CopyView:
    """One copy with how it goes. ``percent`` is None where that is not known."""

    began_at: datetime
    source: str
    target: str
    state: str
    tone: str
    words: str
    percent: int | None
    cancel_url: str
    """Empty for what is over."""


def copies_of(instance: Instance) -> list[CopyView]:
    """Open copies and those of the last day, the newest first."""
    found = Copy.objects.filter(Q(source=instance) | Q(target=instance)).select_related("job")
    lately = found.filter(Q(ended_at=None) | Q(ended_at__gt=timezone.now() - SHOWN_FOR)).order_by("-pk")
    views = [*map(_copy_view, lately[:MOST_SHOWN]), *_url_views(instance, url_jobs_of(instance))]
    return sorted(views, key=lambda view: view.began_at, reverse=True)


def url_jobs_of(instance: Instance) -> list[Job]:
    """Copies from and to URLs, as long as they are known, the newest first."""
    return list(Job.objects.filter(task_id=instance.task_id, kind=jobs.URL).order_by("-pk")[:MOST_SHOWN])


def _copy_view(copy: Copy) -> CopyView:
    state, tone = _COPY_STATES[copy.state]
    job = copy.job if copy.state == copies.OPEN else None
    return CopyView(
        began_at=copy.created_at,
        source=f"C.{copy.source_id}:{copy.source_path}",
        target=f"C.{copy.target_id}:{copy.target_path}",
        state=state,
        tone=tone,
        words=(job.message or _WAITING) if job is not None else copy.message,
        percent=_percent(job),
        cancel_url=reverse("instance_copy_cancel", args=[copy.target_id]) if job is not None else "",
    )


def _url_views(instance: Instance, found: Iterable[Job]) -> list[CopyView]:
    return [_url_view(instance, job) for job in found]


def _url_view(instance: Instance, job: Job) -> CopyView:
    state, tone = _JOB_STATES.get(job.state, _OPEN)
    here, there = f"C.{instance.pk}:{job.arguments['path']}", job.arguments["shown"]
    is_upload = job.arguments["direction"] == "upload"
    return CopyView(
        began_at=job.asked_at,
        source=here if is_upload else there,
        target=there if is_upload else here,
        state=state,
        tone=tone,
        words=job.message or (_WAITING if job.is_open else ""),
        percent=_percent(job) if job.is_open else None,
        cancel_url=reverse("instance_url_copy_cancel", args=[instance.pk, job.pk]) if job.is_open else "",
    )


def _percent(job: Job | None) -> int | None:
    return None if job is None or job.progress is None else int(job.progress * 100)
