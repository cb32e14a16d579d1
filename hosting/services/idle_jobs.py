"""Idle jobs: the host's own job on every GPU that nobody else uses, and its price, the floor under every bid."""

import shlex
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from agent.protocol import ContainerSpec
from billing.domain.money import exact_dollars
from hosting import hooks
from hosting.access import lock_own_machine
from hosting.domain import idle_jobs as rules
from hosting.domain.idle_jobs import Action, IdleContainer, IdleTerms
from hosting.errors import HostingError
from hosting.locks import lock_machine
from hosting.models import Gpu, GpuClaim, IdleJob, IdleTask, Machine, Task, TaskEvent
from hosting.services.events import machine_event
from hosting.services.tasks import task_create, task_remove, task_run, task_set_spec, task_stop

logger = structlog.get_logger(__name__)

EVENT_COMMAND_CHARS = 500
_ENDED = ("exited", "failed")


@transaction.atomic
def idle_job_set(
    *,
    machine_id: int,
    host: AbstractBaseUser,
    image: str,
    args: list[str],
    price_micros_per_gpu_hour: int,
    now: datetime,
) -> IdleJob:
    """Give the machine this idle job, in place of the one it has: it runs on every GPU that nobody else uses.

    ``args`` go to the image's own entrypoint. The price, in micro-dollars per GPU and hour, is the floor under all
    bids. Raises HostingError: no_such_machine (404), invalid_terms with the field at fault.
    """
    machine = lock_own_machine(machine_id, host)
    terms = IdleTerms(image=image, args=tuple(args), price_micros_per_gpu_hour=price_micros_per_gpu_hour)
    found = rules.problems(terms, on_demand_micros_per_hour=_on_demand_micros(machine))
    if found:
        field, message = next(iter(found.items()))
        raise HostingError("invalid_terms", message, field=field)
    values: dict[str, Any] = {"image": image, "args": args, "price_micros_per_gpu_hour": price_micros_per_gpu_hour}
    job, _ = IdleJob.objects.update_or_create(machine=machine, defaults=values | {"active": True, "set_at": now})
    machine.idle_job = job
    command = shlex.join([image, *args])[:EVENT_COMMAND_CHARS]
    said = f"{command} at ${exact_dollars(price_micros_per_gpu_hour)} per GPU-hour"
    machine_event(machine, "idle_job_set", now=now, actor=host, message=said)
    hooks.market().machine_changed(machine, now)
    return job


def _on_demand_micros(machine: Machine) -> int | None:
    listing = getattr(machine, "listing", None)
    return listing.gpu_micros_per_hour if listing is not None and listing.active else None


@transaction.atomic
def idle_job_remove(*, machine_id: int, host: AbstractBaseUser, now: datetime) -> None:
    """End the machine's idle job and its floor under bids. Removing one that is not there is fine.

    Raises HostingError(no_such_machine, 404).
    """
    machine = lock_own_machine(machine_id, host)
    if IdleJob.objects.filter(machine=machine, active=True).update(active=False):
        machine_event(machine, "idle_job_removed", now=now, actor=host)
        hooks.market().machine_changed(machine, now)


def idle_tasks_apply(
    *, machine: Machine, gpu_ids: Collection[int], free_gpu_ids: Collection[int], now: datetime
) -> None:
    """Let the idle job run on each of ``gpu_ids`` and on no other GPU of the locked machine.

    ``free_gpu_ids`` are the GPUs that no live claim holds at this moment: on others nothing starts, so call it again
    when they became free. It compares and acts, so calling it again changes nothing. A machine that can't be reached
    is left as it is. A machine that never had an idle job costs one query for each machine object.
    """
    job: IdleJob | None = getattr(machine, "idle_job", None)
    if job is None or not machine.online or machine.engine_error or machine.removed_at is not None:
        return
    live = {idle.task_id: idle for idle in _live(machine)}
    plan = rules.plan(
        [_container(idle, job) for idle in live.values()],
        gpu_ids=gpu_ids if job.active else (),
        free_gpu_ids=free_gpu_ids,
        now=now,
    )
    for task_id, action in plan.actions.items():
        _act(live[task_id], action, now)
    for gpu in Gpu.objects.filter(pk__in=plan.create_on).order_by("index") if plan.create_on else ():
        _create(machine, job, gpu, now)


def _live(machine: Machine) -> list[Any]:
    """The machine's idle containers that should stay, the oldest first; their tasks share the machine object."""
    found = _annotated().filter(task__machine=machine, task__removed_at=None).exclude(task__desired_state="removed")
    rows = list(found.select_related("task", "gpu").order_by("pk"))
    for idle in rows:
        idle.task.machine = machine
    return rows


def _annotated() -> QuerySet[Any]:
    """Idle tasks with ``holds_gpu``, and with ``ended_by_itself``: whether their newest run did, or never began."""
    ends = TaskEvent.objects.filter(
        task=OuterRef("task"), run_generation=OuterRef("task__run_generation"), phase__in=_ENDED
    )
    claims = GpuClaim.objects.filter(task=OuterRef("task"), gpu=OuterRef("gpu"), released_at=None)
    return IdleTask.objects.annotate(ended_by_itself=Exists(ends), holds_gpu=Exists(claims))


def _container(idle: Any, job: IdleJob) -> IdleContainer:
    task = idle.task
    is_current = job.active and idle.gpu.present and msgspec.convert(task.spec, ContainerSpec) == _spec(task, job)
    rest = timedelta(seconds=rules.IDLE_RESTART_SECONDS)
    return IdleContainer(
        task_id=task.pk,
        gpu_id=idle.gpu_id,
        runs=task.desired_state == Task.Desired.RUNNING,
        is_current=is_current,
        holds_gpu=idle.holds_gpu,
        not_before=task.observed_since + rest if idle.ended_by_itself else None,
    )


def _spec(task: Task, job: IdleJob) -> ContainerSpec:
    machine = task.machine
    terms = IdleTerms(image=job.image, args=tuple(job.args), price_micros_per_gpu_hour=job.price_micros_per_gpu_hour)
    return rules.idle_spec(
        terms, label=task.label, gpu_count=machine.gpu_count, cpu_cores=machine.cpu_cores, ram_mb=machine.ram_mb
    )


def _act(idle: IdleTask, action: Action, now: datetime) -> None:
    if action is Action.RUN:
        task_run(task=idle.task, gpus=[idle.gpu], now=now)
    elif action is Action.STOP:
        task_stop(task=idle.task, now=now, grace_seconds=rules.IDLE_GRACE_SECONDS)
    else:
        task_remove(task=idle.task, now=now)


def _create(machine: Machine, job: IdleJob, gpu: Gpu, now: datetime) -> None:
    label = f"J.{machine.pk}.{gpu.index}"
    task = task_create(machine=machine, kind=Task.Kind.IDLE_JOB, label=label, authorized_keys=[], now=now)
    IdleTask.objects.create(task=task, gpu=gpu)
    task_set_spec(task=task, spec=_spec(task, job))
    task_run(task=task, gpus=[gpu], now=now)


def idle_task_observed(*, task: Task, now: datetime) -> None:
    """Stop wanting an idle task whose container has ended by itself or could not be started, which frees its GPU.

    The machine is locked. ``idle_tasks_apply`` starts it again later.
    """
    is_over = task.observed_phase in _ENDED and task.observed_run_generation == task.run_generation
    if task.kind == Task.Kind.IDLE_JOB and task.desired_state == Task.Desired.RUNNING and is_over:
        task_stop(task=task, now=now, grace_seconds=rules.IDLE_GRACE_SECONDS)


def idle_jobs_due(*, now: datetime) -> list[int]:
    """Ids of machines with an idle container that ended by itself IDLE_RESTART_SECONDS ago and whose GPU is free."""
    held = GpuClaim.objects.filter(gpu=OuterRef("gpu"), released_at=None)
    machine = Machine.objects.filter(online=True, engine_error="", removed_at=None, idle_job__active=True)
    due = _annotated().filter(
        ~Exists(held),
        ended_by_itself=True,
        gpu__present=True,
        gpu__unhealthy_reason="",
        task__machine__in=machine,
        task__desired_state=Task.Desired.STOPPED,
        task__removed_at=None,
        task__observed_since__lte=now - timedelta(seconds=rules.IDLE_RESTART_SECONDS),
    )
    return sorted(set(due.values_list("task__machine_id", flat=True)))


def idle_jobs_restart(*, now: datetime) -> int:
    """Let the market look at every machine that ``idle_jobs_due`` names; returns at how many it did.

    Each in a transaction of its own: one that fails is logged and holds up no other.
    """
    return sum(_restart_alone(machine_id, now) for machine_id in idle_jobs_due(now=now))


def _restart_alone(machine_id: int, now: datetime) -> bool:
    try:
        with transaction.atomic():
            hooks.market().machine_changed(lock_machine(machine_id), now)
    except Exception:
        logger.exception("idle_job_restart_failed", machine_id=machine_id)
        return False
    return True
