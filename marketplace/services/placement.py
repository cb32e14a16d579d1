"""Lets the auction decide who runs on a machine, and starts who won."""

from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from hosting.models import Gpu, GpuClaim, Listing, Machine
from hosting.selectors import usable_gpus
from hosting.services.tasks import task_run
from marketplace.domain import instance_states as states
from marketplace.domain.auction import Claim, Kind, Outcome, Policy, clear
from marketplace.locks import share_machine
from marketplace.models import Instance
from marketplace.services.transition import instance_transition

_HOLDING = (states.LOADING, states.RUNNING)


def machine_place(*, machine: Machine, now: datetime) -> int:
    """Start every waiting instance of the locked machine that the auction lets run; returns how many."""
    if not machine.online or machine.engine_error or machine.removed_at is not None:
        return 0
    waiting = {instance.pk: instance for instance in _contracts(machine).filter(state=states.SCHEDULING)}
    if not waiting:
        return 0
    outcome = machine_outcome(machine)
    gpus = {gpu.pk: gpu for gpu in usable_gpus(machine)}
    started = [
        instance for pk, instance in waiting.items() if outcome.runs.get(pk) and _fits(instance, outcome.runs[pk])
    ]
    for instance in started:
        share_machine(instance, machine)
        won = sorted(outcome.runs[instance.pk], key=lambda pk: gpus[pk].index)
        instance_load(instance=instance, gpus=[gpus[pk] for pk in won], now=now)
    return len(started)


def machine_outcome(machine: Machine) -> Outcome:
    """What the auction says of the locked machine as it is now.

    GPUs of containers that are still ending take no part: they come back when the agent has said that they are free.
    """
    held = _held_gpus(machine)
    contracts = list(_contracts(machine))
    holding = {instance.pk: held.pop(instance.task_id) for instance in contracts if instance.task_id in held}
    ending = {gpu_id for gpu_ids in held.values() for gpu_id in gpu_ids}
    gpu_ids = [gpu.pk for gpu in usable_gpus(machine) if gpu.pk not in ending]
    claims = [_claim(instance, holding.get(instance.pk, frozenset())) for instance in contracts]
    return clear(gpu_ids, claims, _policy(machine))


def instance_load(*, instance: Instance, gpus: list[Gpu], now: datetime) -> None:
    """Give the instance its GPUs and ask the agent for a new run."""
    task_run(task=instance.task, gpus=gpus, now=now)
    instance.waiting_since = None
    instance.save(update_fields=["waiting_since"])
    instance_transition(instance=instance, to=states.LOADING, now=now, message="Waiting for the machine to start it.")


def _contracts(machine: Machine) -> QuerySet[Instance]:
    """Instances that run or should. One that was stopped and started again at once takes no part before its container
    has really ended."""
    ending = GpuClaim.objects.filter(task=OuterRef("task"), released_at=None)
    wants_gpus = Q(state__in=_HOLDING) | (Q(state=states.SCHEDULING) & ~Exists(ending))
    return Instance.objects.filter(wants_gpus, machine=machine).select_related("task").order_by("pk")


def _held_gpus(machine: Machine) -> dict[int, frozenset[int]]:
    """GPU ids by the task that holds them."""
    held: dict[int, set[int]] = {}
    live = GpuClaim.objects.filter(task__machine=machine, released_at=None)
    for task_id, gpu_id in live.values_list("task_id", "gpu_id"):
        held.setdefault(task_id, set()).add(gpu_id)
    return {task_id: frozenset(gpu_ids) for task_id, gpu_ids in held.items()}


def _claim(instance: Instance, holds: frozenset[int]) -> Claim:
    return Claim(
        claim_id=instance.pk,
        kind=Kind.ON_DEMAND,
        num_gpus=instance.num_gpus,
        placed_at=instance.waiting_since or instance.created_at,
        holds=holds,
        prefers=frozenset() if holds else _gpus_before(instance),
    )


def _fits(instance: Instance, won: frozenset[int]) -> bool:
    """A container keeps the GPUs it was created with: one that exists already can run on no others."""
    before = _gpus_before(instance)
    return not before or won == before


def _gpus_before(instance: Instance) -> frozenset[int]:
    earlier = GpuClaim.objects.filter(task=instance.task).order_by("-claimed_at", "-pk")[: instance.num_gpus]
    return frozenset(earlier.values_list("gpu_id", flat=True))


def _policy(machine: Machine) -> Policy:
    floor = Listing.objects.filter(machine=machine).values_list("min_bid_micros_per_gpu_hour", flat=True).first()
    return Policy(floor=floor or 0)
