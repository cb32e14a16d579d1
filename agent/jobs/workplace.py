"""What jobs know of the machine: which container is a task's, and how it is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.engine.types import ContainerFacts, Engine
from agent.jobs.kinds import JobContext, JobError
from agent.tasks.disk_guard import DiskGuard
from agent.tasks.memory import TaskMemory
from agent.tasks.plan import Identity, container_name


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """One for all jobs of an agent."""

    engine: Engine
    identity: Identity
    disk_guard: DiskGuard
    mount_point: Path
    """Where helper processes mount disks, each for itself."""
    has_room: Callable[[int], bool]
    """Whether the host's disk takes so many megabytes more."""

    remembered: Callable[[int], TaskMemory | None] = lambda _task_id: None
    """What is remembered of a task."""
    change_memory: Callable[[int, Callable[[TaskMemory], TaskMemory]], bool] = lambda _task_id, _change: False
    """Changes that; False where there is no such task any more."""

    def container(self, context: JobContext) -> ContainerFacts | None:
        """The container of the task that a job is about; None where there is none."""
        task_id = context.job.task_id
        if task_id is None:
            raise JobError("bad_arguments", "This has to be about an instance.")
        return self.engine.find(container_name(self.identity, task_id))


def runs(container: ContainerFacts | None) -> bool:
    """Whether commands can be run in the container."""
    return container is not None and container.status == "running"
