"""What a simulated machine measures: like an agent's, each look becomes part of a window that is told later."""

from collections.abc import Callable

import msgspec

from agent.inventory.simulated import SimulatedMachine
from agent.telemetry.looking import Looker
from agent.telemetry_protocol import Live, TaskReading
from scripts.fleet.tasks import SimulatedTasks


class SimulatedLooker(Looker):
    """Of one boot of the machine. ``lost`` are its GPUs that do not answer now."""

    def __init__(
        self, hardware: SimulatedMachine, tasks: SimulatedTasks, lost: Callable[[], set[str]], boot_id: str
    ) -> None:
        # The agent's own looker is for real engines and containers.
        self._hardware = hardware
        self._tasks = tasks
        self._lost = lost
        self._boot = boot_id
        self._looks = 0

    def look(self, now: float) -> Live:  # noqa: ARG002 - the agent's signature
        """See Looker."""
        busy, lost = self._tasks.busy(), self._lost()
        in_use = {uuid for uuids in busy.values() for uuid in uuids}
        self._looks += 1
        return Live(
            number=self._looks,
            boot_id=self._boot,
            gpus=[msgspec.structs.replace(gpu, lost=gpu.uuid in lost) for gpu in self._hardware.readings(in_use)],
            machine=self._hardware.reading(in_use),
            tasks=[_reading(task_id, uuids) for task_id, uuids in busy.items()],
        )


def _reading(task_id: int, uuids: list[str]) -> TaskReading:
    return TaskReading(
        task_id=task_id,
        gpu_uuids=uuids,
        cpu_percent=40.0,
        ram_used_mb=6_000,
        ram_limit_mb=16_000,
        disk_used_mb=2_500,
        net_rx_bytes_per_s=250_000.0,
        net_tx_bytes_per_s=40_000.0,
    )
