"""One look at a machine, its GPUs and the containers that run."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.engine.types import ContainerFacts, ContainerGoneError, Engine, EngineDownError, TaskError
from agent.engine.usage_types import ContainerUsage
from agent.inventory.sources import GpuSource, HostSource, InventoryError
from agent.logs import say
from agent.protocol import DesiredTask
from agent.tasks.slot import Slot
from agent.telemetry.rates import Rates
from agent.telemetry_protocol import GpuReading, Live, MachineReading, TaskReading
from agent.usage import interface_bytes

_log = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_UNKNOWN = ContainerUsage(cpu_seconds=None, ram_used_mb=None, ram_limit_mb=None)


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a look is made with; ``slots`` are asked each time."""

    gpus: GpuSource
    host: HostSource
    engine: Engine
    slots: Callable[[], Iterable[Slot]]


class Looker:
    """Belongs to one thread."""

    def __init__(self, looked: Looked) -> None:
        self._looked = looked
        self._rates = Rates()
        self._number = 0
        self._boot_id = _boot_id()

    def look(self, now: float) -> Live:
        """``now`` of a clock that never goes back. What can't be seen is None, or left out."""
        running = list(_running(self._looked.slots()))
        busy = {uuid for _, _, desired in running for uuid in desired.gpu_uuids}
        gpus, driver_error = self._gpus(busy)
        self._number += 1
        tasks = [self._task(slot, container, desired, now) for slot, container, desired in running]
        self._rates.keep({key for slot, _, _ in running for key in _keys(slot.task_id)})
        return Live(
            number=self._number,
            boot_id=self._boot_id,
            gpus=gpus,
            machine=self._machine(busy),
            tasks=tasks,
            driver_error=driver_error,
        )

    def _gpus(self, busy: set[str]) -> tuple[list[GpuReading], str]:
        try:
            return self._looked.gpus.readings(busy), ""
        except InventoryError as error:
            return [], str(error)

    def _machine(self, busy: set[str]) -> MachineReading:
        try:
            return self._looked.host.reading(busy)
        except OSError as error:
            say(_log, "machine_not_measured", level=logging.WARNING, why=error)
            return MachineReading()

    def _task(self, slot: Slot, container: ContainerFacts, desired: DesiredTask, now: float) -> TaskReading:
        usage = self._usage(container)
        received, sent = interface_bytes(container.pid) or (None, None)
        cpu_key, rx_key, tx_key = _keys(slot.task_id)
        cores_used = self._rates.rate(cpu_key, usage.cpu_seconds, now)
        return TaskReading(
            task_id=slot.task_id,
            gpu_uuids=desired.gpu_uuids,
            cpu_percent=None if cores_used is None else round(100 * cores_used / desired.spec.cpu_cores, 1),
            ram_used_mb=usage.ram_used_mb,
            ram_limit_mb=usage.ram_limit_mb,
            disk_used_mb=slot.disk_used_mb,
            net_rx_bytes_per_s=self._rates.rate(rx_key, received, now),
            net_tx_bytes_per_s=self._rates.rate(tx_key, sent, now),
        )

    def _usage(self, container: ContainerFacts) -> ContainerUsage:
        try:
            return self._looked.engine.usage(container.container_id)
        except (ContainerGoneError, TaskError, EngineDownError):
            return _UNKNOWN


def monotonic() -> float:
    """The clock of all looks."""
    return time.monotonic()


def _running(slots: Iterable[Slot]) -> Iterable[tuple[Slot, ContainerFacts, DesiredTask]]:
    for slot in slots:
        container, desired = slot.facts, slot.desired
        if container is not None and desired is not None and container.status == "running":
            yield slot, container, desired


def _keys(task_id: int) -> tuple[str, str, str]:
    return f"cpu-{task_id}", f"rx-{task_id}", f"tx-{task_id}"


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
