"""Measurements as an agent tells them, for tests."""

from datetime import datetime
from typing import Any

import msgspec

from agent.telemetry_protocol import (
    GpuFigures,
    GpuReading,
    Live,
    MachineFigures,
    MachineReading,
    Stat,
    TaskFigures,
    TaskReading,
    TelemetryRequest,
    Window,
)
from hosting.models import Machine
from hosting.services.telemetry import telemetry_receive

BOOT = "boot-1"
SESSION = "measuring"


class TestSensors:
    """The sensors of one machine: change ``gpus`` by index, then ``tell``."""

    __test__ = False

    def __init__(self, machine: Machine, session_id: str = SESSION) -> None:
        self.machine = machine
        self.session_id = session_id
        self.boot_id = BOOT
        self.number = 0
        self.driver_error = ""
        self.tasks: list[TaskReading] = []
        self.gpus = {gpu.index: well(gpu.uuid) for gpu in machine.gpus.filter(present=True)}
        self.system = MachineReading(
            cpu_percent=12.5,
            ram_used_mb=4096,
            disk_used_gb=100.0,
            disk_free_gb=900.0,
            net_rx_bytes_per_s=2e6,
            net_tx_bytes_per_s=5e5,
        )

    def change(self, index: int, **facts: Any) -> None:
        """One GPU reads otherwise from now on."""
        self.gpus[index] = msgspec.structs.replace(self.gpus[index], **facts)

    def live(self) -> Live:
        self.number += 1
        return Live(
            number=self.number,
            boot_id=self.boot_id,
            gpus=[] if self.driver_error else list(self.gpus.values()),
            machine=self.system,
            tasks=self.tasks,
            driver_error=self.driver_error,
        )

    def tell(self, now: datetime, *windows: Window) -> int:
        """One request; what the server says it has."""
        request = TelemetryRequest(session_id=self.session_id, live=self.live(), windows=list(windows))
        return telemetry_receive(machine_id=self.machine.pk, request=request, now=now)


def well(uuid: str) -> GpuReading:
    """A GPU at work, and well."""
    return GpuReading(
        uuid=uuid,
        utilization_percent=90.0,
        memory_used_mb=12288,
        memory_total_mb=24576,
        temperature_c=70,
        power_w=300.0,
        power_limit_w=350.0,
        fan_percent=60,
        pcie_lanes=16,
        ecc_corrected=0,
        ecc_uncorrected=0,
        xids=[],
    )


def stat(value: float, count: int = 4) -> Stat:
    """Always the same value."""
    return Stat(value, value, value * count, count)


def window(machine: Machine, number: int, age_seconds: float, task_id: int | None = None, **values: Any) -> Window:
    """A minute on a machine: each GPU at ``util`` percent, and a task on the first of them."""
    util, uuids = values.get("util", 50.0), [gpu.uuid for gpu in machine.gpus.order_by("index")]
    figures = GpuFigures(stat(util), stat(2048.0), stat(60.0), stat(200.0), *values.get("errors", ()))
    task = TaskFigures(stat(30.0), stat(1024.0), stat(512.0), stat(1e6), stat(2e6))
    return Window(
        number=number,
        age_seconds=age_seconds,
        seconds=values.get("seconds", 60.0),
        machine=MachineFigures(stat(20.0), stat(8192.0), stat(100.0), stat(1e6), stat(5e5)),
        gpus=dict.fromkeys(uuids, figures),
        tasks={} if task_id is None else {task_id: task},
        task_gpus={} if task_id is None else {task_id: uuids[:1]},
    )
