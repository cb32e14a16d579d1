"""What agents send besides their reports: the output of jobs, and logs of containers that are gone."""

import zlib
from datetime import datetime

import redis
import structlog
from django.db import transaction

from agent.protocol import MOST_KEPT_LOG_BYTES, OutputReply
from hosting.domain import jobs
from hosting.errors import HostingError
from hosting.gateways import live_logs
from hosting.locks import lock_job
from hosting.models import Job, JobChunk, KeptLog, Machine, Task

logger = structlog.get_logger(__name__)

CONTAINER_ID_CHARS = 64
MOST_LOGS_PER_TASK = 8


def output_take(*, machine: Machine, job_id: int, start: int, content: bytes, now: datetime) -> OutputReply:
    """Add bytes to the output of an open job of the machine; ``start`` is where in it they belong.

    What is there already is not added again, so any request may be repeated. The reply says how far the output goes.
    Raises HostingError: no_such_job (404), too_large (413), gap (409).
    """
    job = Job.objects.filter(pk=job_id, machine=machine, state__in=jobs.OPEN).first()
    if job is None:
        raise HostingError("no_such_job", f"This machine has no open job {job_id}.", status=404)
    kind = jobs.KINDS.get(job.kind)
    if kind is not None and kind.live:
        return _to_watchers(job, start, content)
    most_bytes = kind.most_output_bytes if kind is not None else 0
    if start + len(content) > most_bytes:
        raise HostingError("too_large", f"The output of this job has at most {most_bytes} bytes.", status=413)
    return OutputReply(received_bytes=_store(job.pk, start, content), wanted=job.deadline > now)


@transaction.atomic
def _store(job_id: int, start: int, content: bytes) -> int:
    """The chunk's own row and the job's count change together; the condition makes repeated requests harmless."""
    job = lock_job(job_id)
    if start > job.output_bytes:
        raise HostingError("gap", f"The output goes to byte {job.output_bytes}, not to {start}.", status=409)
    news = content[job.output_bytes - start :]
    if news:
        JobChunk.objects.create(job=job, start=job.output_bytes, content=news)
        job.output_bytes += len(news)
        job.save(update_fields=["output_bytes"])
    return job.output_bytes


def _to_watchers(job: Job, start: int, content: bytes) -> OutputReply:
    """Without Redis nobody can look, so the stream ends; whoever wants to look asks anew."""
    try:
        received = live_logs.append(job.pk, start, content)
        wanted = job.task_id is not None and live_logs.is_watched(job.task_id)
    except redis.RedisError as error:
        logger.warning("live_log_store_unavailable", job_id=job.pk, error=str(error))
        return OutputReply(received_bytes=start + len(content), wanted=False)
    return OutputReply(received_bytes=received, wanted=wanted)


def log_keep(*, machine: Machine, task_id: int, container: str, content: bytes, now: datetime) -> None:
    """Keep the log of a container of an instance that is gone; a repetition changes nothing.

    Raises HostingError: no_such_task (404), bad_log (400).
    """
    task = Task.objects.filter(pk=task_id, machine=machine).first()
    if task is None:
        raise HostingError("no_such_task", f"This machine has no task {task_id}.", status=404)
    if not container.isalnum() or not container.isascii() or len(container) > CONTAINER_ID_CHARS:
        raise HostingError("bad_log", "container must be the engine's id of a container.")
    if not _is_sound(content):
        raise HostingError("bad_log", f"A log is zlib data of at most {MOST_KEPT_LOG_BYTES} bytes.")
    if task.kind != Task.Kind.INSTANCE:
        return
    row = KeptLog(task=task, container=container, content=content, kept_at=now, expires_at=now + jobs.KEPT_FOR)
    KeptLog.objects.bulk_create([row], ignore_conflicts=True)
    newest = task.kept_logs.order_by("-kept_at", "-pk").values_list("pk", flat=True)[:MOST_LOGS_PER_TASK]
    task.kept_logs.exclude(pk__in=list(newest)).delete()


def _is_sound(content: bytes) -> bool:
    reader = zlib.decompressobj()
    try:
        whole = reader.decompress(content, MOST_KEPT_LOG_BYTES + 1)
    except zlib.error:
        return False
    return reader.eof and not reader.unused_data and len(whole) <= MOST_KEPT_LOG_BYTES
