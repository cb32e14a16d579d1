"""What became of everybody: states change along the table, nobody is forgotten, nothing is lost or held twice."""

from collections import Counter

from marketplace.domain.instance_states import TRANSITIONS
from tests.simulation.box import Box
from tests.simulation.failure import must
from tests.simulation.rows import EventRow, InstanceRow, Rows

GONE = ("destroying", "destroyed")


class History:
    """Follows every instance from event to event."""

    def __init__(self) -> None:
        self._states: dict[int, str] = {}
        self._ports: dict[int, int | None] = {}

    def check(self, rows: Rows, boxes: dict[int, Box]) -> None:
        """``rows.events`` are those since the last check."""
        for event in rows.events:
            self._follow(event)
        for one in rows.instances.values():
            told = self._states.get(one.id)
            must(told == one.state, f"instance {one.id} is {one.state}, its events say {told}")
            self._check_kept(one, rows, boxes[one.machine_id])
        self._check_claims(rows, boxes)

    def _follow(self, event: EventRow) -> None:
        old = self._states.get(event.instance_id)
        if old is None:
            must(event.from_state == "", f"instance {event.instance_id} was never rented")
        else:
            must(event.from_state == old, f"instance {event.instance_id} was {old}, not {event.from_state}")
            must(event.to_state in TRANSITIONS[old], f"instance {event.instance_id}: {old} -> {event.to_state}")
        self._states[event.instance_id] = event.to_state

    def _check_kept(self, one: InstanceRow, rows: Rows, box: Box) -> None:
        task = rows.tasks[one.task_id]
        if one.state == "destroyed":
            must(task.removed, f"instance {one.id} is destroyed, its task is not removed")
            must(task.id not in rows.ports, f"instance {one.id} is destroyed and has a port")
            return
        must(not task.removed, f"instance {one.id} is {one.state}, its task is removed")
        must((task.desired == "removed") == (one.state == "destroying"), f"{one.state} {one.id}: task {task.desired}")
        must(self._ports.setdefault(one.id, one.ssh_port) == one.ssh_port, f"the port of {one.id} changed")
        must(rows.ports.get(task.id) == one.ssh_port, f"instance {one.id} lost its port {one.ssh_port}")
        if one.state != "destroying" and task.id in box.runs and task.id not in box.lost:
            worker = box.workers.get(task.id)
            has_disk = worker is not None and (worker.container is not None or worker.moving is not None)
            must(has_disk, f"instance {one.id} is {one.state}, has run, and its disk is gone")

    def _check_claims(self, rows: Rows, boxes: dict[int, Box]) -> None:
        twice = [gpu for gpu, count in Counter(gpu for gpu, _ in rows.claims).items() if count > 1]
        must(not twice, "claimed twice:", twice)
        claimed = {(task_id, rows.gpus[gpu_id].uuid) for gpu_id, task_id in rows.claims}
        for box in boxes.values():
            for task_id, gpus in box.running().items():
                unclaimed = [gpu for gpu in gpus if (task_id, gpu) not in claimed]
                must(not unclaimed, f"{box.name}: task {task_id} runs on {unclaimed}, which it does not claim")
