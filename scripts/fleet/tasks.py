"""The containers of a simulated machine: none, but they behave like such."""

import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agent.protocol import ERASED, DesiredTask, FailureReason, ObservedTask, Phase
from scripts.fleet import plan
from scripts.fleet.clock import Clock

STOP_SECONDS = 0.4


@dataclass
class _Container:
    """``wish`` is what the server wants last; ``step`` counts what was begun: what is overtaken does nothing."""

    wish: DesiredTask
    phase: Phase = "stopped"
    run: int = 0
    since: float = 0.0
    step: int = 0
    reason: FailureReason | None = None
    message: str = ""


class SimulatedTasks:
    """``agent.sync.Machine``: ``on_change`` is called after each change, outside of any lock."""

    def __init__(self, clock: Clock, rates: plan.Rates, dice: random.Random, on_change: Callable[[], None]) -> None:
        self._clock = clock
        self._rates = rates
        self._dice = dice
        self._on_change = on_change
        self._lock = threading.Lock()
        self._containers: dict[int, _Container] = {}

    def observed(self) -> list[ObservedTask]:
        """All of them as they are."""
        now = time.monotonic()
        with self._lock:
            return [
                ObservedTask(
                    task_id=task_id,
                    phase=container.phase,
                    run_generation=container.run,
                    age_seconds=max(0.0, now - container.since),
                    reason=container.reason,
                    message=container.message,
                    erased=list(ERASED) if container.phase == "removed" else [],
                )
                for task_id, container in self._containers.items()
            ]

    def apply(self, desired: Iterable[DesiredTask]) -> None:
        """Begin whatever is to be done."""
        wishes = {task.task_id: task for task in desired}
        with self._lock:
            for task_id in self._containers.keys() - wishes.keys():
                del self._containers[task_id]
            for task_id, wish in wishes.items():
                container = self._containers.setdefault(task_id, _Container(wish, since=time.monotonic()))
                container.wish = wish
                self._begin(task_id, container)

    def reboot(self) -> None:
        """Everything that ran has ended with the machine."""
        with self._lock:
            for container in self._containers.values():
                if container.phase in ("running", "starting", "creating", "pulling"):
                    container.reason, container.message = "engine_down", "The machine was restarted."
                    self._become(container, "exited")
        self._on_change()

    def busy(self) -> dict[int, list[str]]:
        """GPUs by task that runs."""
        with self._lock:
            return {
                task_id: container.wish.gpu_uuids
                for task_id, container in self._containers.items()
                if container.phase == "running"
            }

    def _begin(self, task_id: int, container: _Container) -> None:
        wish = container.wish
        if wish.state == "running" and container.run < wish.run_generation:
            self._start(task_id, container)
        elif wish.state == "stopped" and container.phase not in ("stopped", "stopping"):
            self._leave(task_id, container, "stopped")
        elif wish.state == "stopped":
            container.run = wish.run_generation
        elif wish.state == "removed" and container.phase not in ("removed", "stopping"):
            self._leave(task_id, container, "removed")

    def _start(self, task_id: int, container: _Container) -> None:
        way = plan.start(self._rates, self._dice)
        container.run, container.reason, container.message = container.wish.run_generation, None, ""
        self._become(container, "pulling" if way.pull else "creating")
        step = container.step
        self._later(way.pull, task_id, step, "creating")
        self._later(way.pull + way.create, task_id, step, "starting")
        self._later(way.pull + way.create + way.boot, task_id, step, "failed" if way.fails else "running")

    def _leave(self, task_id: int, container: _Container, to: Phase) -> None:
        container.run = container.wish.run_generation
        self._become(container, "stopping")
        self._later(STOP_SECONDS, task_id, container.step, to)

    def _later(self, seconds: float, task_id: int, step: int, to: Phase) -> None:
        self._clock.after(seconds, lambda: self._arrive(task_id, step, to))

    def _arrive(self, task_id: int, step: int, to: Phase) -> None:
        with self._lock:
            container = self._containers.get(task_id)
            if container is None or container.step != step:
                return
            if to == "failed":
                container.reason, container.message = "engine_error", "The drill lets some starts fail."
            container.phase, container.since = to, time.monotonic()
            self._begin(task_id, container)
        self._on_change()

    @staticmethod
    def _become(container: _Container, phase: Phase) -> None:
        container.phase, container.since = phase, time.monotonic()
        container.step += 1
