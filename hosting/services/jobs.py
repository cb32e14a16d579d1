"""Jobs: asked of a machine's agent, told of by it, and over at last, one way or another."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from agent.job_protocol import JobReport
from hosting.domain import jobs
from hosting.domain.texts import clean
from hosting.errors import HostingError
from hosting.locks import lock_machine
from hosting.models import Job, KeptLog, Machine, Task
from hosting.sealed_secrets import seal_secrets
from hosting.services.tasks import desired_changed

MOST_REPORTS = 200
DELETED_AT_A_TIME = 1000


def job_ask(
    *,
    task: Task,
    kind: str,
    arguments: dict[str, Any],
    secrets: dict[str, Any] | None = None,
    asked_by: AbstractBaseUser | None,
    now: datetime,
    patience: timedelta | None = None,
) -> Job:
    """Ask for a job about a task whose machine is locked; its agent hears of it when this transaction commits.

    ``secrets`` are arguments that are kept encrypted, and only until the job is over. ``patience`` is how long it may
    take, where that isn't what its kind says.

    Raises HostingError(too_many_jobs, 429).
    """
    rule = jobs.KINDS[kind]
    open_jobs = Job.objects.filter(task=task, kind=kind, state__in=jobs.OPEN, deadline__gt=now).count()
    if open_jobs >= rule.most_open:
        message = f"{open_jobs} such requests are under way already. Try again when one of them has been answered."
        raise HostingError("too_many_jobs", message, status=429)
    job = Job.objects.create(
        machine=task.machine,
        task=task,
        kind=kind,
        arguments=arguments,
        sealed=seal_secrets(secrets) if secrets else "",
        asked_by_id=asked_by.pk if asked_by else None,
        asked_at=now,
        deadline=now + (rule.patience if patience is None else patience),
    )
    desired_changed(task.machine)
    return job


def job_transition(*, job: Job, to: str, now: datetime, **facts: Any) -> bool:
    """Move the job from the state it is in to ``to``; False where the table forbids it or somebody was faster."""
    if not jobs.may_become(job.state, to):
        return False
    facts |= {"state": to}
    if job.began_at is None and to in (jobs.RUNNING, jobs.DONE, jobs.FAILED):
        facts["began_at"] = now
    if to not in jobs.OPEN:
        facts |= {"ended_at": now, "sealed": ""}
    if not Job.objects.filter(pk=job.pk, state=job.state).update(**facts):
        return False
    for name, value in facts.items():
        setattr(job, name, value)
    return True


def jobs_observe(*, machine: Machine, reports: Iterable[JobReport], now: datetime) -> None:
    """Take in what the agent of a locked machine tells of its jobs. What is over stays as it is."""
    told = {report.job_id: report for report in list(reports)[:MOST_REPORTS] if 0 < report.job_id < 2**63}
    for job in Job.objects.filter(machine=machine, pk__in=told, state__in=jobs.OPEN).order_by("pk"):
        _observe(job, told[job.pk], now)


def _observe(job: Job, report: JobReport, now: datetime) -> None:
    facts: dict[str, Any] = {
        "progress": None if report.progress is None else min(max(report.progress, 0.0), 1.0),
        "message": clean(report.message, jobs.MOST_MESSAGE_CHARS),
    }
    if report.state == jobs.RUNNING:
        facts |= {} if report.result is None else {"result": _bounded(report.result)}
        if job.state == jobs.RUNNING:
            Job.objects.filter(pk=job.pk, state=jobs.RUNNING).update(**facts)
        else:
            job_transition(job=job, to=jobs.RUNNING, now=now, **facts)
        return
    facts |= {"reason": clean(report.reason, 40), "result": _bounded(report.result)}
    job_transition(job=job, to=report.state, now=now, **facts)


def _bounded(result: dict[str, Any] | None) -> dict[str, Any] | None:
    """The result without what a database can't hold; nothing of one that is too large."""
    if result is None:
        return None
    text = msgspec.json.encode(result)
    if len(text) > jobs.MOST_RESULT_BYTES or b"\\u0000" in text:
        return {}
    return result


@transaction.atomic
def job_cancel(*, job_id: int, now: datetime) -> bool:
    """End an open job whatever its agent does; the agent hears that it is not wanted. False where it was over."""
    job = Job.objects.get(pk=job_id)
    machine = lock_machine(job.machine_id)
    job.refresh_from_db()
    ended = job_transition(job=job, to=jobs.CANCELED, now=now)
    if ended:
        desired_changed(machine)
    return ended


def jobs_sweep(*, now: datetime) -> int:
    """End jobs past their deadline and those of tasks that are gone; forget what is old. Returns how many ended."""
    late = Job.objects.filter(state__in=jobs.OPEN, deadline__lte=now - jobs.EXPIRY_GRACE)
    gone = Job.objects.filter(state__in=jobs.OPEN, task__removed_at__isnull=False)
    ended = _end_all(late, jobs.EXPIRED, "The machine did not answer in time.", now)
    ended += _end_all(gone, jobs.CANCELED, "The instance was destroyed meanwhile.", now)
    _forget(now)
    return ended


def _end_all(found: Any, to: str, message: str, now: datetime) -> int:
    ended = 0
    for job in found.order_by("pk")[:DELETED_AT_A_TIME]:
        with transaction.atomic():
            machine = lock_machine(job.machine_id)
            if job_transition(job=job, to=to, now=now, reason=to, message=message):
                ended += 1
                desired_changed(machine)
    return ended


def _forget(now: datetime) -> None:
    old = Job.objects.filter(ended_at__lte=now - jobs.KEPT_FOR)
    _delete(Job, old.order_by("ended_at").values_list("pk", flat=True)[:DELETED_AT_A_TIME])
    expired = KeptLog.objects.filter(expires_at__lte=now)
    _delete(KeptLog, expired.values_list("pk", flat=True)[:DELETED_AT_A_TIME])


def _delete(model: Any, keys: Collection[int]) -> None:
    numbers = list(keys)
    if numbers:
        model.objects.filter(pk__in=numbers).delete()
