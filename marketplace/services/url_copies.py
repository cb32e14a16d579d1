"""Copies of a file between an instance and a URL, which the instance's machine does."""

from datetime import datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting.domain import jobs
from hosting.errors import HostingError
from hosting.locks import lock_machine
from hosting.models import Job
from hosting.services.jobs import job_ask, job_cancel
from marketplace.access import instance_for
from marketplace.domain import instance_states as states
from marketplace.domain.url_copies import UrlCopyRequest, problems
from marketplace.errors import MarketError
from marketplace.locks import share_machine
from marketplace.models import Instance
from marketplace.services.transition import instance_event


@transaction.atomic
def url_copy_begin(*, user: AbstractBaseUser, instance_id: int, request: UrlCopyRequest, now: datetime) -> Job:
    """Ask the instance's machine for the copy. Address and keys are kept encrypted, and only until it is over.

    Raises MarketError: no_such_instance (404), invalid_args (field named), not_running (409), too_many_jobs (429).
    """
    found = problems(request)
    if found:
        field, message = next(iter(found.items()))
        raise MarketError("invalid_args", message, field=field)
    machine = lock_machine(instance_for(user, instance_id).machine_id)
    instance = instance_for(user, instance_id)
    share_machine(instance, machine)
    if instance.state != states.RUNNING:
        message = f"Instance {instance.pk} is {instance.state}; it has to run for a copy. Start it first."
        raise MarketError("not_running", message, status=409)
    job = _ask(instance, request, user, now)
    instance_event(instance, "copy", now=now, actor=user, reason="begun", message=_words(request))
    return job


def _ask(instance: Instance, request: UrlCopyRequest, user: AbstractBaseUser, now: datetime) -> Job:
    arguments = {
        "direction": request.direction,
        "path": request.path,
        "name": request.name,
        "shown": request.shown,
    }
    try:
        return job_ask(
            task=instance.task, kind=jobs.URL, arguments=arguments, secrets=_secrets(request), asked_by=user, now=now
        )
    except HostingError as error:
        raise MarketError(error.code, error.message, status=error.status) from error


def _secrets(request: UrlCopyRequest) -> dict[str, Any]:
    keys = request.s3
    if keys is None:
        return {"url": request.url}
    return {
        "url": keys.url(),
        "region": keys.region,
        "access_key": keys.access_key,
        "secret_key": keys.secret_key,
    }


def _words(request: UrlCopyRequest) -> str:
    if request.direction == "download":
        return f"{request.shown} is copied to {request.path}."
    return f"{request.path} is copied to {request.shown}."


def url_copy_cancel(*, user: AbstractBaseUser, instance_id: int, job_id: int, now: datetime) -> bool:
    """End a copy; what has arrived is kept for the next one to go on with. False where it was over.

    Raises MarketError: no_such_instance, no_such_copy (404).
    """
    instance = instance_for(user, instance_id)
    job = Job.objects.filter(pk=job_id, task_id=instance.task_id, kind=jobs.URL).first()
    if job is None:
        raise MarketError("no_such_copy", f"Instance {instance_id} has no copy {job_id}.", status=404)
    return job_cancel(job_id=job.pk, now=now)
