"""Copies of files between a client's instances: begun, followed and ended, whatever happens meanwhile."""

from datetime import datetime

import structlog
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting.connecting import relay_address
from hosting.domain import jobs
from hosting.errors import HostingError
from hosting.locks import lock_machine
from hosting.models import Job
from hosting.services.jobs import job_ask, job_cancel
from marketplace.access import instance_for
from marketplace.domain import copies
from marketplace.domain import instance_states as states
from marketplace.domain.copies import Ending
from marketplace.domain.rent import SSH_PORT
from marketplace.errors import MarketError
from marketplace.gateways.ssh_keys import new_key_pair
from marketplace.locks import share_machine
from marketplace.models import Copy, Instance
from marketplace.services.keys import instance_keep_keys
from marketplace.services.transition import instance_event

logger = structlog.get_logger(__name__)

LOOPBACK = "127.0.0.1"


def copy_begin(
    *, user: AbstractBaseUser, source_id: int, target_id: int, source_path: str, target_path: str, now: datetime
) -> Copy:
    """Ask the target's machine to fetch what is at the path of the source.

    Raises MarketError: no_such_instance (404), invalid_args (a path, or an instance with itself), not_running,
    no_ssh, too_many_jobs (429).
    """
    source, target = instance_for(user, source_id), instance_for(user, target_id)
    _refuse_nonsense(source, target, source_path, target_path)
    private_key, public_key = new_key_pair()
    with transaction.atomic():
        machine = lock_machine(target.machine_id)
        target = instance_for(user, target_id)
        share_machine(target, machine)
        _require_running(source, target)
        copy = Copy.objects.create(
            client_id=user.pk,
            source=source,
            target=target,
            source_path=source_path,
            target_path=target_path,
            public_key=public_key,
            created_at=now,
        )
        copy.job = _ask(copy, private_key, now)
        copy.save(update_fields=["job"])
        for instance, text in _beginnings(copy):
            instance_event(instance, "copy", now=now, actor=user, reason="begun", message=text)
    # The key goes to the source's machine under that machine's own lock; should this fail, the sweep does it.
    instance_keep_keys(instance_id=source.pk)
    return copy


def _refuse_nonsense(source: Instance, target: Instance, source_path: str, target_path: str) -> None:
    if source.pk == target.pk:
        message = "Source and target are the same instance: copy inside of it with cp."
        raise MarketError("invalid_args", message, field="source")
    for field, path in (("source_path", source_path), ("target_path", target_path)):
        problem = copies.path_problem(path)
        if problem:
            raise MarketError("invalid_args", problem, field=field)
    _require_running(source, target)
    for instance in (source, target):
        if not instance.has_ssh:
            message = f"Instance {instance.pk} runs a command of its own, without SSH: nothing can be copied there."
            raise MarketError("no_ssh", message, status=409)


def _require_running(source: Instance, target: Instance) -> None:
    """Both have to run: rsync compares at both ends what is there already."""
    for instance, which in ((source, "source"), (target, "target")):
        if instance.state != states.RUNNING:
            message = f"Both instances have to run for a copy, and the {which}, {instance.pk}, is {instance.state}."
            raise MarketError("not_running", message, status=409, field=which)


def _beginnings(copy: Copy) -> tuple[tuple[Instance, str], ...]:
    return (
        (copy.target, f"{copy.source_path} of instance {copy.source_id} is copied to {copy.target_path}."),
        (copy.source, f"{copy.source_path} is copied to {copy.target_path} of instance {copy.target_id}."),
    )


def _ask(copy: Copy, private_key: str, now: datetime) -> Job:
    arguments = {
        "addresses": _addresses(copy.source, copy.target),
        "host_keys": list(copy.source.task.host_keys),
        "source_path": copy.source_path,
        "target_path": copy.target_path,
    }
    try:
        return job_ask(
            task=copy.target.task,
            kind=jobs.COPY,
            arguments=arguments,
            secrets={"private_key": private_key},
            asked_by=copy.client,
            now=now,
        )
    except HostingError as error:
        raise MarketError(error.code, error.message, status=error.status) from error


def _addresses(source: Instance, target: Instance) -> list[tuple[str, int]]:
    """Where the source's SSH server is reached from the target's host, the best first."""
    if source.ssh_port is not None and source.machine_id == target.machine_id:
        return [(LOOPBACK, source.ssh_port)]
    return ssh_addresses(source)


def ssh_addresses(instance: Instance) -> list[tuple[str, int]]:
    """Where the instance's SSH server is reached from elsewhere, the fastest first: directly, and through the relay."""
    machine = instance.machine
    direct = [] if instance.ssh_port is None else [(machine.public_address, instance.ssh_port)]
    relay = relay_address(machine, instance.task, SSH_PORT)
    if relay is None:
        return direct
    return [*(direct if machine.is_direct else []), (relay.host, relay.port)]


def copies_cancel(*, user: AbstractBaseUser, target_id: int, now: datetime) -> int:
    """End all copies into the instance; what has arrived stays. Returns how many there were.

    Raises MarketError(no_such_instance, 404).
    """
    target = instance_for(user, target_id)
    message = "Canceled. What has arrived is kept."
    found = list(Copy.objects.filter(target=target, state=copies.OPEN))
    ended = sum(_end(copy, Ending("canceled", "client", message), now, user) for copy in found)
    for copy in found:
        _settle(copy, now)
    return ended


def copies_sweep(*, now: datetime) -> int:
    """Bring all copies to what has become of their instances and jobs; returns how many have ended."""
    found = Copy.objects.filter(settled_at=None).select_related("source__task", "target", "job").order_by("pk")
    return sum(_swept(copy, now) for copy in found)


def _swept(copy: Copy, now: datetime) -> bool:
    """One that fails must not keep the others waiting."""
    try:
        return _advance(copy, now)
    except Exception:
        logger.exception("copy_sweep_failed", copy_id=copy.pk)
        return False


def _advance(copy: Copy, now: datetime) -> bool:
    ending = None
    if copy.state == copies.OPEN:
        ending = copies.ending(
            source_state=copy.source.state,
            target_state=copy.target.state,
            job_state=copy.job.state if copy.job else jobs.CANCELED,
            job_reason=copy.job.reason if copy.job else "",
            job_message=copy.job.message if copy.job else "",
        )
        if ending is None:
            _keep_open(copy)
            return False
    ended = ending is not None and _end(copy, ending, now, None)
    _settle(copy, now)
    return ended


def _keep_open(copy: Copy) -> None:
    """The source knows the key, also if we died before we told it."""
    line = copies.key_line(copy.public_key, copy.source_path, copy.pk)
    if line not in copy.source.task.authorized_keys:
        instance_keep_keys(instance_id=copy.source_id)


@transaction.atomic
def _end(copy: Copy, ending: Ending, now: datetime, actor: AbstractBaseUser | None) -> bool:
    """Of two who end a copy one does."""
    open_one = Copy.objects.filter(pk=copy.pk, state=copies.OPEN)
    facts = {"state": ending.state, "reason": ending.reason[:40], "message": ending.message, "ended_at": now}
    if not copies.may_become(copies.OPEN, ending.state) or not open_one.update(**facts):
        return False
    copy.state = ending.state
    for instance in (copy.source, copy.target):
        text = f"{copy.source_path} of instance {copy.source_id} to instance {copy.target_id}: {ending.state}."
        message = f"{text} {ending.message}".strip()
        instance_event(instance, "copy", now=now, actor=actor, reason=ending.state, message=message)
    return True


def _settle(copy: Copy, now: datetime) -> None:
    """End the job and take the key from the source. Done again after a crash, and harmless then."""
    if copy.job_id is not None and Job.objects.filter(pk=copy.job_id, state__in=jobs.OPEN).exists():
        job_cancel(job_id=copy.job_id, now=now)
    instance_keep_keys(instance_id=copy.source_id)
    Copy.objects.filter(pk=copy.pk).exclude(state=copies.OPEN).update(settled_at=now)
