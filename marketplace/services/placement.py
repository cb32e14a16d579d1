"""Gives free GPUs of a machine to the instances that wait for them."""

from datetime import datetime

from django.db.models import Exists, OuterRef

from hosting.models import Gpu, GpuClaim, Machine
from hosting.selectors import free_gpus
from hosting.services.tasks import task_run
from marketplace.domain import instance_states as states
from marketplace.domain.placement import Waiting, place
from marketplace.locks import share_machine
from marketplace.models import Instance
from marketplace.services.transition import instance_transition


def machine_place(*, machine: Machine, now: datetime) -> int:
    """Start every waiting instance of the locked machine that fits on its free GPUs; returns how many."""
    if not machine.online or machine.engine_error or machine.removed_at is not None:
        return 0
    # An instance that was stopped and started again at once holds its GPUs until its container has really ended.
    still_ending = GpuClaim.objects.filter(task=OuterRef("task"), released_at=None)
    waiting = {
        instance.pk: instance
        for instance in Instance.objects.filter(~Exists(still_ending), machine=machine, state=states.SCHEDULING)
        .select_related("task")
        .order_by("pk")
    }
    if not waiting:
        return 0
    free = {gpu.pk: gpu for gpu in free_gpus(machine)}
    placed = place(list(free), [_claim(instance) for instance in waiting.values()])
    for instance_id, gpu_ids in placed.items():
        instance = waiting[instance_id]
        share_machine(instance, machine)
        instance_load(instance=instance, gpus=[free[pk] for pk in gpu_ids], now=now)
    return len(placed)


def instance_load(*, instance: Instance, gpus: list[Gpu], now: datetime) -> None:
    """Give the instance its GPUs and ask the agent for a new run."""
    task_run(task=instance.task, gpus=gpus, now=now)
    instance.waiting_since = None
    instance.save(update_fields=["waiting_since"])
    instance_transition(instance=instance, to=states.LOADING, now=now, message="Waiting for the machine to start it.")


def _claim(instance: Instance) -> Waiting:
    earlier = GpuClaim.objects.filter(task=instance.task).order_by("-claimed_at", "-pk")[: instance.num_gpus]
    preferred = earlier.values_list("gpu_id", flat=True)
    return Waiting(
        instance_id=instance.pk,
        num_gpus=instance.num_gpus,
        since=instance.waiting_since or instance.created_at,
        preferred=frozenset(preferred),
    )
