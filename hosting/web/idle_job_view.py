"""How an idle job stands, as its page says it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import OuterRef, Subquery

from hosting import selectors
from hosting.models import IdleJob, Machine, Task, TaskEvent


@dataclass
class IdleJobView:
    """A machine's idle job. Counts are of GPUs; ``endings`` tells how often its container ended how and rests now."""

    machine: Machine
    job: IdleJob
    running: int = 0
    starting: int = 0
    endings: Counter[str] = field(default_factory=Counter)

    @property
    def ended(self) -> list[tuple[str, int]]:
        """What was said of containers that ended by themselves, and of how many, the most first."""
        return self.endings.most_common()


def idle_jobs_of(host: AbstractBaseUser) -> list[IdleJobView]:
    """The host's active idle jobs, by machine."""
    machines = selectors.machines_of(host).filter(idle_job__active=True)
    views = {machine.pk: IdleJobView(machine, machine.idle_job) for machine in machines}
    for task in _tasks(views):
        _count(views[task.machine_id], task)
    return list(views.values())


def _tasks(machine_ids: Iterable[int]) -> Iterable[Any]:
    """Idle tasks that stay, with ``ending``: what was said when the newest run ended by itself."""
    ends = TaskEvent.objects.filter(
        task=OuterRef("pk"), run_generation=OuterRef("run_generation"), phase__in=("exited", "failed")
    )
    live = Task.objects.filter(machine__in=list(machine_ids), kind=Task.Kind.IDLE_JOB, removed_at=None)
    return (
        live.exclude(desired_state=Task.Desired.REMOVED)
        .annotate(ending=Subquery(ends.order_by("-pk").values("message")[:1]))
        .order_by("pk")
    )


def _count(view: IdleJobView, task: Any) -> None:
    if task.desired_state == Task.Desired.RUNNING:
        is_up = task.observed_phase == "running" and task.observed_run_generation == task.run_generation
        view.running += is_up
        view.starting += not is_up
    elif task.ending is not None:
        view.endings[task.ending or "It ended."] += 1
