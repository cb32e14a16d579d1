"""Desired state of tasks: what the agent of a machine is told.

Every function expects the machine's row to be locked by the caller (``locks.lock_machine``) and bumps its desired
generation; the agent's held request is woken after the commit.
"""

import functools
from collections.abc import Collection, Iterable
from datetime import datetime

import msgspec
from django.db import transaction
from django.db.models import F

from agent.protocol import ContainerSpec
from hosting.domain.registries import Login
from hosting.errors import HostingError
from hosting.gateways.wakeup import wake
from hosting.models import Gpu, GpuClaim, Machine, PortLease, Task
from hosting.sealed_logins import sealed

NOT_RUNNING_PHASES = frozenset({"unknown", "stopped", "exited", "removed", "failed"})
USUAL_GRACE_SECONDS = 10


def desired_changed(machine: Machine) -> None:
    """Give the machine's desired state a new generation and wake its agent once this transaction commits."""
    Machine.objects.filter(pk=machine.pk).update(desired_generation=F("desired_generation") + 1)
    transaction.on_commit(functools.partial(wake, machine.pk))


def task_create(
    *,
    machine: Machine,
    kind: Task.Kind,
    label: str,
    authorized_keys: list[str],
    now: datetime,
    registry_login: Login | None = None,
) -> Task:
    """A task that exists and is stopped. Give it its spec with ``task_set_spec``, then ``task_run`` starts it.

    ``registry_login`` is kept sealed, and told to the machine's agent while the task should run.
    """
    return Task.objects.create(
        machine=machine,
        kind=kind,
        label=label,
        spec={},
        authorized_keys=authorized_keys,
        registry_login=sealed(registry_login) if registry_login else "",
        observed_since=now,
        created_at=now,
    )


def task_set_spec(*, task: Task, spec: ContainerSpec) -> None:
    """Say what container the task is. Fixed for the container's life: call it before the first run."""
    task.spec = msgspec.to_builtins(spec)
    task.save(update_fields=["spec"])
    desired_changed(task.machine)


def task_run(*, task: Task, gpus: Iterable[Gpu], now: datetime) -> None:
    """Ask for a new run on exactly these GPUs: claim those that the task does not hold, free what it holds besides.

    The next stop has the usual grace and no notice again. Raises HostingError(still_running, 409) when the task holds
    other GPUs and may run on them still: they are freed on the agent's word only.
    """
    wanted = {gpu.pk: gpu for gpu in gpus}
    held = set(task.gpu_claims.filter(released_at=None).values_list("gpu_id", flat=True))
    if held - wanted.keys():
        _release_others(task, keep=wanted.keys(), now=now)
    GpuClaim.objects.bulk_create(
        [GpuClaim(gpu=gpu, task=task, claimed_at=now) for pk, gpu in wanted.items() if pk not in held]
    )
    task.desired_state = Task.Desired.RUNNING
    task.run_generation += 1
    task.stop_grace_seconds, task.notice = USUAL_GRACE_SECONDS, ""
    task.save(update_fields=["desired_state", "run_generation", "stop_grace_seconds", "notice"])
    desired_changed(task.machine)


def _release_others(task: Task, *, keep: Collection[int], now: datetime) -> None:
    if not _surely_not_running(task):
        message = f"Task {task.pk} may still run on the GPUs that it holds."
        raise HostingError("still_running", message, status=409)
    task.gpu_claims.filter(released_at=None).exclude(gpu_id__in=keep).update(released_at=now)


def task_restart(*, task: Task) -> None:
    """Ask for a new run on the same GPUs."""
    task.run_generation += 1
    task.save(update_fields=["run_generation"])
    desired_changed(task.machine)


def task_stop(*, task: Task, now: datetime, grace_seconds: int | None = None, notice: str = "") -> None:
    """Ask the agent to stop the container and keep its disk. GPUs are freed once it says that nothing runs.

    ``grace_seconds`` pass between the wish to end and the kill; None is the usual time. ``notice`` tells who works in
    the container why others end it; it stays empty when they asked themselves.
    """
    task.desired_state = Task.Desired.STOPPED
    task.stop_grace_seconds = USUAL_GRACE_SECONDS if grace_seconds is None else grace_seconds
    task.notice = notice
    task.save(update_fields=["desired_state", "stop_grace_seconds", "notice"])
    claims_release_if_idle(task, now)
    desired_changed(task.machine)


def task_remove(*, task: Task, now: datetime) -> None:
    """Ask the agent to remove the container and its disk. The login of its image is needed no more, and forgotten."""
    task.desired_state, task.registry_login = Task.Desired.REMOVED, ""
    task.save(update_fields=["desired_state", "registry_login"])
    claims_release_if_idle(task, now)
    desired_changed(task.machine)


def task_set_authorized_keys(*, task: Task, keys: list[str]) -> None:
    """Change who may log in, also while the container runs."""
    if task.authorized_keys != keys:
        task.authorized_keys = keys
        task.save(update_fields=["authorized_keys"])
        desired_changed(task.machine)


def claims_release_if_idle(task: Task, now: datetime) -> bool:
    """Free the task's GPUs when it neither runs nor should; returns whether any was freed.

    A container that was told to run and has not been heard of since may be starting this very moment: then its last
    observed phase belongs to an older run and the GPUs stay claimed until the agent speaks of the present one.
    """
    if task.desired_state == Task.Desired.RUNNING or not _surely_not_running(task):
        return False
    return bool(task.gpu_claims.filter(released_at=None).update(released_at=now))


def _surely_not_running(task: Task) -> bool:
    if task.run_generation == 0 or task.observed_phase == "removed":
        return True
    return task.observed_phase in NOT_RUNNING_PHASES and task.observed_run_generation == task.run_generation


def ports_lease(*, task: Task, wanted: Iterable[tuple[int, str]]) -> list[PortLease]:
    """Give the task one free host port for each (container port, protocol), the longest unused first.

    Raises HostingError(no_free_port) when the machine's range is exhausted.
    """
    machine = task.machine
    taken = set(PortLease.objects.filter(machine=machine, released_at=None).values_list("host_port", flat=True))
    size = machine.port_last - machine.port_first + 1
    start = max(machine.port_last_leased + 1 - machine.port_first, 0)
    free = (port for step in range(size) if (port := machine.port_first + (start + step) % size) not in taken)
    leases = []
    for container_port, protocol in wanted:
        try:
            port = next(free)
        except StopIteration:
            message = "The machine has no free port left for another instance."
            raise HostingError("no_free_port", message, status=409) from None
        leases.append(
            PortLease(machine=machine, task=task, host_port=port, container_port=container_port, protocol=protocol)
        )
        machine.port_last_leased = port
    PortLease.objects.bulk_create(leases)
    machine.save(update_fields=["port_last_leased"])
    return leases
