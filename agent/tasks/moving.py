"""Moving a task to other GPUs: a container keeps those it was made with, so another one takes its place on its disk.

The disk is saved as an image, which is written down before the container goes; volumes stay and are mounted again.
Until the next start all of the disk is in that image, so the agent may be killed at any point.
"""

import logging

from agent.engine.types import ContainerFacts, Layer, TaskError
from agent.logs import say
from agent.protocol import DesiredTask
from agent.tasks.decide import Move
from agent.tasks.memory import SavedDisk, TaskMemory
from agent.tasks.plan import disk_image, disk_name
from agent.tasks.slot import Slot
from agent.tasks.tools import Tools, has_room, require_room

_log = logging.getLogger(__name__)


class Mover:
    """What a move does before and after the creation of the container, and what it leaves to be deleted."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._engine = tools.engine
        self._checkpoint = tools.checkpoint

    def take_down(self, slot: Slot, desired: DesiredTask, step: Move) -> None:
        """Save the disk, unless it is saved and noted already, and delete the container.

        Raises ``TaskError`` with the disk still there, in the container or saved from it.
        """
        container = slot.container()
        with self._tools.disk_guard.kept_free(slot.task_id):
            saved = slot.memory_for(desired).moving
            if saved is None or not saved.is_all_of(container) or not self._engine.has_image(saved.image):
                saved = self._save(slot, desired, container, step)
            self._tools.keep_log(slot.task_id, container.container_id)
            slot.looked = False
            self._engine.remove(container.container_id, keep_volumes=True)
        self._checkpoint("old_removed", slot.task_id)
        say(_log, "container_moves", task=slot.task_id, image=saved.image, used_mb=saved.used_mb)

    def _save(self, slot: Slot, desired: DesiredTask, container: ContainerFacts, step: Move) -> SavedDisk:
        """Save the disk and note that: from then on nothing needs the container."""
        layer = self._engine.layer(container.container_id)
        as_one = self._is_worth_merging(slot, desired, layer)
        require_room(self._tools, layer.whole_mb if as_one else layer.used_mb)
        # Known before there is anything of it, so that a removal deletes that too.
        self._tools.save(slot, slot.memory_for(desired).changed(created=True))
        self._checkpoint("moving", slot.task_id)
        disk = self._saved(slot, desired, layer, step.last_run, as_one=as_one)
        self._checkpoint("disk_saved", slot.task_id)
        memory = slot.memory_for(desired)
        volumes = sorted({*memory.volumes, *disk.volumes.values()})
        self._tools.save(slot, memory.changed(moving=disk, volumes=volumes))
        self._checkpoint("move_noted", slot.task_id)
        return disk

    def _saved(self, slot: Slot, desired: DesiredTask, layer: Layer, last_run: int, *, as_one: bool) -> SavedDisk:
        container = slot.container()
        container_id, memory = container.container_id, slot.memory_for(desired)
        before = memory.origin(container_id)
        noted = memory.moving.image if memory.moving is not None else ""
        image = disk_image(self._tools.identity, desired, container_id, noted)
        given = before.given_names if before is not None else []
        saved = self._engine.save_disk(container_id, image, given, as_one=as_one)
        base_mb = before.base_mb if before is not None else layer.image_mb
        used_mb = layer.used_mb + (before.used_mb if before is not None else 0)
        return SavedDisk(
            container_id=container_id,
            image=image,
            volumes=self._engine.volumes(container_id),
            given_names=saved.given_names,
            used_mb=min(used_mb, max(0, saved.size_mb - base_mb)) if as_one else used_mb,
            base_mb=base_mb,
            last_run=last_run,
            started_at=container.started_at,
        )

    def _is_worth_merging(self, slot: Slot, desired: DesiredTask, layer: Layer) -> bool:
        """Whether to copy all there is into one layer, without what was overwritten or deleted: as no other will fit,
        or, where there is room, as more was written over time than the task may have at any time."""
        before = slot.memory_for(desired).origin(slot.container().container_id)
        written_mb = layer.used_mb + (before.used_mb if before is not None else 0)
        too_much = before is not None and written_mb > desired.spec.disk_gb * 1024
        return layer.stacked_high or (too_much and has_room(self._tools, layer.whole_mb))

    def settle(self, slot: Slot, container_id: str) -> None:
        """See a move under way to its end: this container is there. Images no longer needed go, if the engine lets."""
        if slot.memory is None or slot.memory.moving is None:
            return
        memory = slot.memory.settled(container_id)
        self._tools.save(slot, memory)
        self._checkpoint("move_settled", slot.task_id)
        try:
            keep = memory.disk.image if memory.disk is not None else ""
            self._engine.drop_disks(disk_name(self._tools.identity, slot.task_id), keep)
        except TaskError as error:
            say(_log, "old_disk_stays", level=logging.WARNING, task=slot.task_id, message=error.message)

    def note_volumes(self, memory: TaskMemory, container: ContainerFacts) -> TaskMemory:
        """The memory with the volumes that the container may leave behind when it is deleted."""
        left = self._engine.volumes(container.container_id).values()
        return memory.changed(volumes=sorted({*memory.volumes, *left}))

    def delete_disk(self, slot: Slot) -> None:
        """Delete what a task may have left beside its container. Raises ``TaskError``; may be done again."""
        self._engine.drop_disks(disk_name(self._tools.identity, slot.task_id))
        if slot.memory is not None and slot.memory.volumes:
            self._engine.drop_volumes(slot.memory.volumes)
