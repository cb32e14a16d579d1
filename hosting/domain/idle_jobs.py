"""Idle jobs: what a host may ask for, the container it means, and which containers should run now."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from agent.protocol import ContainerSpec
from hosting.domain.containers import Slice, container_spec
from hosting.domain.images import MAX_ARG_CHARS, args_problem, image_problem, text_problem
from hosting.domain.listing import MAX_GPU_MICROS_PER_HOUR

IDLE_DISK_GB = 10
IDLE_RESTART_SECONDS = 60
"""An idle job that ended by itself is started again this long after its end."""
IDLE_GRACE_SECONDS = 0
"""Who rents the GPU waits for no idle job."""


@dataclass(frozen=True, kw_only=True)
class IdleTerms:
    """The host's own job: on every GPU that nobody else uses, ``image`` with its own entrypoint and ``args``.

    ``price_micros_per_gpu_hour`` is the floor under every bid, in micro-dollars. Nobody pays it.
    """

    image: str
    args: tuple[str, ...]
    price_micros_per_gpu_hour: int


def problems(terms: IdleTerms, *, on_demand_micros_per_hour: int | None) -> dict[str, str]:
    """A sentence for each field that makes no sense; empty when all is well.

    ``on_demand_micros_per_hour`` is the listed price of a GPU, None for a machine that is not listed.
    """
    found = {
        "image": image_problem(terms.image),
        "args": args_problem(terms.args) or text_problem("The command", " ".join(terms.args), MAX_ARG_CHARS),
        "price_micros_per_gpu_hour": _price_problem(terms.price_micros_per_gpu_hour, on_demand_micros_per_hour),
    }
    return {name: text for name, text in found.items() if text}


def _price_problem(micros: int, on_demand_micros: int | None) -> str:
    if not 0 <= micros <= MAX_GPU_MICROS_PER_HOUR:
        return "The price must be between $0 and $1000 per GPU and hour."
    if on_demand_micros is not None and micros > on_demand_micros:
        return "The price must not be above the machine's on-demand price: nobody would bid that much."
    return ""


def idle_spec(terms: IdleTerms, *, label: str, gpu_count: int, cpu_cores: int, ram_mb: int) -> ContainerSpec:
    """The container of the job on one GPU, with that GPU's share of a machine of this size."""
    return container_spec(
        part=Slice(gpus=1, gpu_count=gpu_count, cpu_cores=cpu_cores, ram_mb=ram_mb),
        hostname=label,
        image=terms.image,
        mode="args",
        args=list(terms.args),
        entrypoint="",
        env={"VAST_CONTAINERLABEL": label, "GPU_COUNT": "1"},
        onstart="",
        disk_gb=IDLE_DISK_GB,
        ports=[],
    )


class Action(Enum):
    """What becomes of a container."""

    RUN = "run"
    STOP = "stop"
    REMOVE = "remove"


@dataclass(frozen=True, kw_only=True)
class IdleContainer:
    """A container on ``gpu_id`` that should run or be stopped. ``is_current``: it is what the job means now.

    ``holds_gpu``: nobody else can have the GPU yet. ``not_before``: when it ended by itself, the earliest moment of the
    next run.
    """

    task_id: int
    gpu_id: int
    runs: bool
    is_current: bool
    holds_gpu: bool = False
    not_before: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``actions`` by task id, and the GPUs that want a new container. Empty when all is as it should be."""

    actions: dict[int, Action]
    create_on: list[int]


def plan(
    containers: Collection[IdleContainer],
    *,
    gpu_ids: Collection[int],
    free_gpu_ids: Collection[int],
    now: datetime,
) -> Plan:
    """What to do so that the job runs on each of ``gpu_ids`` and nowhere else.

    Nothing starts on a GPU that is neither free nor the container's own.
    """
    actions = {c.task_id: action for c in containers if (action := _action(c, gpu_ids, free_gpu_ids, now))}
    served = {c.gpu_id for c in containers if c.is_current}
    create_on = sorted(set(gpu_ids) & set(free_gpu_ids) - served)
    return Plan(actions=actions, create_on=create_on)


def _action(
    container: IdleContainer, gpu_ids: Collection[int], free_gpu_ids: Collection[int], now: datetime
) -> Action | None:
    if not container.is_current:
        return Action.REMOVE
    wanted = container.gpu_id in gpu_ids
    if container.runs:
        return None if wanted else Action.STOP
    startable = container.holds_gpu or container.gpu_id in free_gpu_ids
    rested = container.not_before is None or container.not_before <= now
    return Action.RUN if wanted and startable and rested else None
