"""Reads of jobs and of what they brought."""

import zlib
from datetime import datetime

from agent.job_protocol import DesiredJob
from agent.protocol import MOST_KEPT_LOG_BYTES
from hosting.domain import jobs
from hosting.models import Job, KeptLog, Task
from hosting.sealed_secrets import unseal_secrets


def desired_jobs(machine_id: int, now: datetime) -> list[DesiredJob]:
    """All open jobs of the machine, oldest first, as its agent is told of them."""
    found = Job.objects.filter(machine_id=machine_id, state__in=jobs.OPEN).order_by("pk")
    return [
        DesiredJob(
            job_id=job.pk,
            kind=job.kind,
            task_id=job.task_id,
            arguments=job.arguments | unseal_secrets(job.sealed),
            seconds_left=(job.deadline - now).total_seconds(),
            most_output_bytes=jobs.KINDS[job.kind].most_output_bytes if job.kind in jobs.KINDS else 0,
        )
        for job in found
    ]


def job_output(job: Job) -> bytes:
    """All that the job has brought so far."""
    pieces = job.chunks.order_by("start").values_list("content", flat=True)
    return b"".join(bytes(piece) for piece in pieces)


def kept_log(task: Task) -> bytes:
    """The logs of the task's containers that are gone, one after the other."""
    found = KeptLog.objects.filter(task=task).order_by("kept_at", "pk").values_list("content", flat=True)
    return b"".join(zlib.decompressobj().decompress(bytes(one), MOST_KEPT_LOG_BYTES) for one in found)


def kept_log_until(task: Task) -> datetime | None:
    """When the last of these logs is deleted; None where there is none."""
    newest = KeptLog.objects.filter(task=task).order_by("-expires_at").values_list("expires_at", flat=True)
    return newest.first()


def latest_job(task: Task, kind: str) -> Job | None:
    """The last job of the kind about the task."""
    return Job.objects.filter(task=task, kind=kind).order_by("-pk").first()
