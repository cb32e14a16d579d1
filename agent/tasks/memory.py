"""What the agent must still know about a task after it was killed at any instant.

One small file a task, replaced as a whole. An intent to start is on the disk before the engine is asked to start, with
the container's start time as it was before: comparing that with the engine's record tells afterwards, whatever
happened in between, whether that run took place.
"""

import json
import os
from pathlib import Path

import msgspec

from agent.engine.types import NEVER, ContainerFacts
from agent.protocol import DesiredState, FailureReason

NO_RUN = -1


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Why one run failed to start, or was ended by the agent."""

    run_generation: int
    reason: FailureReason
    message: str


class SavedDisk(msgspec.Struct, frozen=True, kw_only=True):
    """What a container had on its disk, saved for the one that takes its place."""

    container_id: str
    """The container it was saved from."""
    image: str
    volumes: dict[str, str]
    """Names of that container's volumes by the directory each is mounted on."""
    given_names: list[str]
    """Variables in the image that are not the original image's."""
    used_mb: int
    """What has been written to it over all moves, whether or not it was overwritten or deleted later."""
    base_mb: int
    """Size of the task's own image, below all that."""
    last_run: int
    """The latest run that took place on this disk."""
    started_at: str = ""
    """The container's start time as it was saved; empty where an agent that did not note it saved it."""

    def is_all_of(self, container: ContainerFacts) -> bool:
        """Whether this is what the container has on its disk: it was saved from it, and nothing ran since."""
        return (self.container_id, self.started_at) == (container.container_id, container.started_at)


class TaskMemory(msgspec.Struct, frozen=True, kw_only=True):
    """See the module. ``-1`` stands for "none" in run generations."""

    task_id: int
    ssh: bool = False
    """Whether the container is in ssh mode."""
    state_asked: DesiredState = "running"
    """The last state acted on, to describe the task truly before the server has been heard."""
    created: bool = False
    """A container of this task has been seen or made."""
    intended_generation: int = NO_RUN
    """The run last asked of the engine."""
    started_before: str = NEVER
    """The container's start time before that run."""
    previous_generation: int = NO_RUN
    """The run that was the container's latest before that one."""
    keys_digest: str = ""
    ready_generation: int = NO_RUN
    """The run whose SSH server has been seen to answer."""
    ready_after_seconds: float = 0.0
    """How long after its start that was."""
    verdict: Verdict | None = None
    disk: SavedDisk | None = None
    """What the container was made from, where that is not the task's image."""
    moving: SavedDisk | None = None
    """A move that has not been seen to its end: the container it was saved from may be gone already."""
    removed_id: str = ""
    """The container that was deleted, once the task is to be removed."""
    volumes: list[str] = []
    """Those that are deleted with the task and may not go with its container."""

    def origin(self, container_id: str) -> SavedDisk | None:
        """What this container was made from, even if the agent was killed before it could note that."""
        made = self.moving is not None and self.moving.container_id != container_id
        return self.moving if made else self.disk

    def is_saved(self, container: ContainerFacts) -> bool:
        """Whether a move of this container has come so far that only its deletion is left of it."""
        return self.moving is not None and self.moving.is_all_of(container)

    def settled(self, container_id: str) -> "TaskMemory":
        """With this container as the task's own: a move has come to it, or has been given up for it."""
        return self.changed(disk=self.origin(container_id), moving=None)

    def changed(self, **fields: object) -> "TaskMemory":
        """A copy with these fields replaced."""
        return msgspec.structs.replace(self, **fields)


class MemoryStore:
    """The files of all tasks, in a directory only the agent's user can read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load_all(self) -> dict[int, TaskMemory]:
        """Every task remembered, by id. A file that can't be read is an error: guessing could run a job twice."""
        memories = [msgspec.json.decode(path.read_bytes(), type=TaskMemory) for path in self._files()]
        return {memory.task_id: memory for memory in memories}

    def load(self, task_id: int) -> TaskMemory | None:
        """One task's, as it was last saved; None where it is unknown."""
        try:
            return msgspec.json.decode(self._path(task_id).read_bytes(), type=TaskMemory)
        except FileNotFoundError:
            return None

    def save(self, memory: TaskMemory) -> None:
        """On the disk, completely, when this returns."""
        write_durably(self._path(memory.task_id), msgspec.json.encode(memory))

    def delete(self, task_id: int) -> None:
        """Forget a task; does nothing where it is unknown."""
        self._path(task_id).unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob("task-*.json"))

    def _path(self, task_id: int) -> Path:
        return self._directory / f"task-{task_id}.json"


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file as a whole, readable by the owner only; after a crash it is the old or the new one."""
    scratch = path.with_suffix(".new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class Traffic(msgspec.Struct, kw_only=True):
    """Bytes a task's container has moved over all its runs; the engine's counters begin anew with each."""

    run: str = NEVER
    """Start time of the run the current counters belong to."""
    finished_rx: int = 0
    finished_tx: int = 0
    current_rx: int = 0
    current_tx: int = 0

    def count(self, run: str, rx_bytes: int, tx_bytes: int) -> None:
        """Take the counters of the run that began at ``run``."""
        if run != self.run:
            self.finished_rx, self.finished_tx = self.rx_bytes, self.tx_bytes
            self.run = run
        self.current_rx, self.current_tx = rx_bytes, tx_bytes

    @property
    def rx_bytes(self) -> int:
        return self.finished_rx + self.current_rx

    @property
    def tx_bytes(self) -> int:
        return self.finished_tx + self.current_tx


class TrafficStore:
    """Traffic counters on the disk. Written often, so not forced out: a power cut may cost the last seconds."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load(self, task_id: int) -> Traffic:
        path = self._path(task_id)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Traffic)
        except (OSError, msgspec.DecodeError):
            return Traffic()

    def save(self, task_id: int, traffic: Traffic) -> None:
        scratch = self._path(task_id).with_suffix(".new")
        scratch.write_bytes(json.dumps(msgspec.to_builtins(traffic)).encode())
        scratch.replace(self._path(task_id))

    def delete(self, task_id: int) -> None:
        self._path(task_id).unlink(missing_ok=True)

    def _path(self, task_id: int) -> Path:
        return self._directory / f"traffic-{task_id}.json"
