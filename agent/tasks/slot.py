"""All the agent holds in memory about one task."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.engine.timestamps import instant
from agent.engine.types import ContainerFacts
from agent.guest.report import GuestReport
from agent.protocol import DesiredTask, FailureReason, JupyterReport, ObservedTask, RegistryLogin
from agent.tasks.decide import Observation
from agent.tasks.memory import TaskMemory, Traffic, Verdict


@dataclass
class Slot:
    """``desired``, ``dirty``, ``stale``, ``busy`` and ``condemned`` belong to whoever holds the reconciler's lock;
    ``memory``, ``facts`` and ``looked`` to the one worker that is busy with the task."""

    task_id: int
    desired: DesiredTask | None = None
    memory: TaskMemory | None = None
    facts: ContainerFacts | None = None
    looked: bool = False
    """``facts`` is what the engine said, or follows from what was done since."""
    carried_keys: str | None = None
    """Digest of the keys that travel in the environment of a container just made; with them all its first files do."""
    admitted: tuple[str, RegistryLogin | None] | None = None
    """The image that the registry has let the task have, and with which login."""
    dirty: bool = False
    """Something changed that the worker has not considered."""
    stale: bool = False
    """The container may be other than ``facts`` says."""
    busy: bool = False
    condemned: tuple[str, Verdict] | None = None
    """A verdict over the run that began at the engine's time given."""
    changes: list[tuple[Callable[[TaskMemory], TaskMemory], threading.Event]] = field(default_factory=list)
    """What others want remembered, each with an event for when that is done; belongs with ``dirty``."""
    observation: Observation | None = None
    began: float = 0.0
    """Monotonic time at which the observation began to hold."""
    progress: float | None = None
    disk_used_mb: int | None = None
    disk_full: bool = False
    traffic: Traffic | None = None
    guest: GuestReport | None = None
    """What the container tells of itself in its present run."""
    jupyter: JupyterReport | None = None
    """What has become of Jupyter in it."""
    erased: tuple[str, ...] = ()
    """Of a task that is removed: what was looked for and is gone."""
    started: bool = False
    """The engine has started the container, and the SSH server in it is awaited, or answers."""
    signal: threading.Event = field(default_factory=threading.Event)
    """Set together with ``dirty``."""

    def observed(self) -> ObservedTask | None:
        """For the server; None before anything is known."""
        seen = self.observation
        if seen is None:
            return None
        guest = self.guest or GuestReport()
        return ObservedTask(
            task_id=self.task_id,
            phase=seen.phase,
            run_generation=seen.run_generation,
            age_seconds=max(0.0, time.monotonic() - self.began),
            exit_code=seen.exit_code,
            reason=seen.reason,
            message=seen.message,
            progress=self.progress if seen.phase == "pulling" else None,
            disk_used_mb=self.disk_used_mb,
            disk_full=self.disk_full,
            net_rx_bytes=self.traffic.rx_bytes if self.traffic else None,
            net_tx_bytes=self.traffic.tx_bytes if self.traffic else None,
            host_keys=guest.host_keys,
            onstart_exit_code=guest.onstart_exit_code,
            onstart_output=guest.onstart_output,
            result=seen.result,
            jupyter=self.jupyter if seen.phase == "running" else None,
            ran_seconds=seen.ran_seconds,
            erased=list(seen.erased),
        )

    def container(self) -> ContainerFacts:
        """The container, in a step that is only decided where there is one."""
        if self.facts is None:
            raise AssertionError(f"task {self.task_id}: this step is only decided for a container")
        return self.facts

    def memory_for(self, desired: DesiredTask) -> TaskMemory:
        """What is remembered, or the beginning of it."""
        known = self.memory or TaskMemory(task_id=self.task_id)
        return known.changed(ssh=desired.spec.mode == "ssh")

    def take(self, observation: Observation) -> bool:
        """Make this the task's state; True where that changes what the server should know."""
        before = self.observation
        same_phase = before is not None and (before.phase, before.run_generation) == (
            observation.phase,
            observation.run_generation,
        )
        if not same_phase:
            self.began = time.monotonic() - age_seconds(observation)
            self.progress = None
        self.observation = observation
        return not same_phase or before is None or _told(before) != _told(observation)


def _told(seen: Observation) -> tuple[FailureReason | None, str | None]:
    return seen.reason, seen.result


def age_seconds(observation: Observation) -> float:
    """How long the observation has held by the engine's record; 0 where there is none."""
    if not observation.since:
        return 0.0
    began = instant(observation.since) + observation.since_offset_seconds
    return max(0.0, time.time() - began)
