"""What the steps of all tasks of an agent are done with."""

import math
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from agent.engine.types import Engine, TaskError
from agent.guest.probe import ssh_answers
from agent.tasks.admission import FreeImages
from agent.tasks.disk_guard import DiskGuard
from agent.tasks.memory import MemoryStore, TaskMemory, TrafficStore
from agent.tasks.plan import Identity
from agent.tasks.slot import Slot

Checkpoint = Callable[[str, int], None]
"""Told the name of each point passed and the task's id; tests end the process there."""

_GB = 1 << 30
_MB = 1 << 20
_LARGE_IMAGE_BYTES = 64 * _GB
_IMAGE_SHARE = 0.25
"""Of the engine's disk: an image may take that, or 64 GB where that is more."""


def no_checkpoint(_name: str, _task_id: int) -> None:
    """Passes."""


def no_log_keeper(_task_id: int, _container_id: str) -> None:
    """Lets it go."""


def not_noted(_image: str) -> AbstractContextManager[None]:
    """For an agent that deletes no images."""
    return nullcontext()


def no_volume(volume_id: int) -> None:
    """For an agent that keeps none."""
    raise TaskError("volume_missing", f"The volume V.{volume_id} is not on this host.")


@dataclass(frozen=True, kw_only=True)
class Tools:
    """One for all tasks of an agent."""

    engine: Engine
    store: MemoryStore
    traffic: TrafficStore
    free_images: FreeImages
    identity: Identity
    disk_floor_gb: float
    data_root: Callable[[], str | None] = field(default=lambda: None)
    checkpoint: Checkpoint = no_checkpoint
    probe: Callable[[str, int], bool] = ssh_answers
    tools_volume: Callable[[], str] = str
    """Name of the volume with the guest tools; empty where there are none. Raises ``EngineDownError``."""
    provide_volume: Callable[[int], None] = no_volume
    """Told the number of a client's volume that a container is about to get. Raises ``TaskError`` where it is lost."""
    keep_log: Callable[[int, str], None] = no_log_keeper
    """Told a task and the id of its container, before that is deleted with its log."""
    fetching: Callable[[str], AbstractContextManager[None]] = not_noted
    """Told the name of an image, around its fetch. Raises ``EngineDownError``."""
    local_registries: bool = False
    """Images may come from registries that are not on the internet."""
    disk_guard: DiskGuard = field(default_factory=DiskGuard)
    clock: Callable[[], float] = time.time
    """Seconds since the epoch, to compare with the engine's timestamps."""

    def save(self, slot: Slot, memory: TaskMemory) -> None:
        """On the disk first, so that what the slot says is never forgotten."""
        self.store.save(memory)
        slot.memory = memory


def require_disk(tools: Tools) -> None:
    """Refuse while the host's disk is nearly full: a start would then fail half way, or hurt the others."""
    if not has_room(tools, 0):
        raise TaskError("disk_full", "The host's disk is almost full, so nothing can be started on it now.")


def require_place(tools: Tools, image: str, size_bytes: int) -> None:
    """Refuse an image that takes more than its share: it would be the end of all other launches."""
    root = tools.data_root()
    most_bytes = max(_LARGE_IMAGE_BYTES, _disk_bytes(root) * _IMAGE_SHARE) if root is not None else math.inf
    if size_bytes > most_bytes:
        size_gb, most_gb = size_bytes / _GB, most_bytes / _GB
        message = f"The image {image} takes {size_gb:.0f} GB of disk; on this machine {most_gb:.0f} GB are the most."
        raise TaskError("disk_full", message)


def _disk_bytes(root: str) -> float:
    try:
        return shutil.disk_usage(root).total
    except OSError:
        return math.inf


def require_room(tools: Tools, copy_mb: int) -> None:
    """Refuse a copy of a disk for which the host lacks the room."""
    if not has_room(tools, copy_mb):
        message = (
            "The host's disk has too little free space to move the instance to other GPUs, which takes a copy of "
            "what it has written. Nothing of it is lost."
        )
        raise TaskError("disk_full", message)


def has_room(tools: Tools, more_mb: int) -> bool:
    """Whether more fits above the floor; True where that can't be seen from here."""
    root = tools.data_root()
    if root is None:
        return True
    try:
        free_bytes = shutil.disk_usage(root).free
    except OSError:
        return True
    return free_bytes - more_mb * _MB >= tools.disk_floor_gb * _GB
