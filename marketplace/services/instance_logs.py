"""Logs of instances, for the client: asked for once, or looked at as they are written."""

from datetime import datetime, timedelta

import redis
import structlog
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting.domain import jobs
from hosting.errors import HostingError
from hosting.gateways import live_logs
from hosting.locks import lock_machine
from hosting.models import Job
from hosting.outputs import latest_job
from hosting.services.jobs import job_ask
from marketplace.domain import instance_states as states
from marketplace.errors import MarketError
from marketplace.models import Instance

logger = structlog.get_logger(__name__)

ASK_AGAIN = timedelta(seconds=2)
"""After a stream ended though its container runs, so that one that can't be read costs little."""


def has_no_container(instance: Instance) -> bool:
    """Whether there can be nothing on the machine: it never began, or is destroyed."""
    return instance.task.run_generation == 0 or instance.state in (states.DESTROYING, states.DESTROYED)


def log_request(*, instance: Instance, client: AbstractBaseUser, now: datetime) -> Job | None:
    """Ask the machine for the end of the log; None where there is none on it. One that is on its way serves all.

    Raises MarketError(machine_offline, 409), HostingError(too_many_jobs).
    """
    if has_no_container(instance):
        return None
    if not instance.machine.online:
        message = f"The machine of instance {instance.pk} can't be reached now, and its log is there. Try again later."
        raise MarketError("machine_offline", message, status=409)
    under_way = Job.objects.filter(
        task_id=instance.task_id, kind=jobs.LOGS, state=jobs.ASKED, asked_at__gt=now - ASK_AGAIN
    ).first()
    return under_way or _ask(instance, jobs.LOGS, client, now)


def log_watch(*, instance: Instance, client: AbstractBaseUser, now: datetime) -> Job | None:
    """Note that somebody looks at the log now, and see to it that it is sent; the job whose stream it is.

    None where there is nothing to look at. Raises MarketError(live_logs_away, 503) without Redis.
    """
    if has_no_container(instance):
        return None
    try:
        live_logs.watch(instance.task_id)
        newest = latest_job(instance.task, jobs.FOLLOW)
        is_lost = newest is not None and live_logs.read(newest.pk, 0) is None
    except redis.RedisError as error:
        logger.warning("live_log_store_unavailable", error=str(error))
        message = "Logs can't be followed just now. Download them, or try again later."
        raise MarketError("live_logs_away", message, status=503) from error
    if not instance.machine.online or (newest is not None and not _is_due(newest, instance, now, is_lost=is_lost)):
        return newest
    try:
        return _ask(instance, jobs.FOLLOW, client, now)
    except HostingError:
        return latest_job(instance.task, jobs.FOLLOW)  # another look was faster


def _is_due(newest: Job, instance: Instance, now: datetime, *, is_lost: bool) -> bool:
    """Whether the stream ended and something may have been written since."""
    if newest.is_open and newest.deadline > now:
        return False
    ended_at = newest.ended_at or newest.deadline
    if now - ended_at < ASK_AGAIN:
        return False
    task = instance.task
    return is_lost or task.observed_phase == "running" or task.observed_since > newest.asked_at


@transaction.atomic
def _ask(instance: Instance, kind: str, client: AbstractBaseUser, now: datetime) -> Job:
    task = instance.task
    task.machine = lock_machine(instance.machine_id)
    return job_ask(task=task, kind=kind, arguments={}, asked_by=client, now=now)
