"""What measurements can be: agents run on strangers' machines, and what they tell ends up on their clients' pages.

What can't be is left out as if there were no sensor, rather than refused: one mad sensor takes nothing else with it.
"""

from typing import Any, TypeVar

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
)

_MEMORY_MB = (0, 2**26)
_DISK = (0, 2**31)
_BYTES_PER_S = (0, 1e11)
_ERRORS = (0, 2**31 - 1)

LIMITS: dict[str, tuple[float, float]] = {
    "utilization_percent": (0, 100),
    "memory_used_mb": _MEMORY_MB,
    "memory_total_mb": _MEMORY_MB,
    "temperature_c": (-50, 200),
    "power_w": (0, 5000),
    "power_limit_w": (0, 5000),
    "fan_percent": (0, 200),
    "pcie_lanes": (0, 64),
    "ecc_corrected": _ERRORS,
    "ecc_uncorrected": _ERRORS,
    "new_ecc_corrected": _ERRORS,
    "new_ecc_uncorrected": _ERRORS,
    "new_xids": _ERRORS,
    "cpu_percent": (0, 1000),
    "ram_used_mb": _MEMORY_MB,
    "ram_limit_mb": (0, 2**31 - 1),
    "disk_used_gb": _DISK,
    "disk_free_gb": _DISK,
    "disk_used_mb": _DISK,
    "net_rx_bytes_per_s": _BYTES_PER_S,
    "net_tx_bytes_per_s": _BYTES_PER_S,
}
"""The least and the most of each figure, by its name. A container without a limit of memory tells a huge one."""
MOST_GPUS = 64
MOST_TASKS = 256
MOST_XIDS = 64
"""Kinds of errors of one GPU."""
TEXT_CHARS = 300
LOOKS_BESIDE = 10
"""So many more looks than seconds a window may be made of: an agent that was slow looks twice at once."""
_ROUNDING = 1e-6

F = TypeVar("F", GpuFigures, MachineFigures, TaskFigures)
R = TypeVar("R", GpuReading, MachineReading, TaskReading)


def plausible_figures(figures: F, seconds: float) -> F:
    """Figures of a window that is so long, without those that can't be."""
    return type(figures)(
        *(_plausible_stat(getattr(figures, name), LIMITS[name], seconds) for name in figures.__struct_fields__)
    )


def _plausible_stat(stat: Stat | None, limits: tuple[float, float], seconds: float) -> Stat | None:
    if stat is None or not 1 <= stat.count <= seconds + LOOKS_BESIDE:
        return None
    if not limits[0] <= stat.least <= stat.most <= limits[1]:
        return None
    slack = _ROUNDING * max(1.0, abs(stat.total))
    return stat if stat.least * stat.count - slack <= stat.total <= stat.most * stat.count + slack else None


def plausible_live(live: Live) -> Live:
    """The latest look, without what can't be, and no longer than a machine can have things to tell."""
    return msgspec.structs.replace(
        live,
        gpus=[_plausible_gpu(gpu) for gpu in live.gpus[:MOST_GPUS]],
        machine=_plausible_reading(live.machine),
        tasks=[_plausible_task(task) for task in live.tasks[:MOST_TASKS]],
        driver_error=live.driver_error[:TEXT_CHARS],
    )


def _plausible_gpu(gpu: GpuReading) -> GpuReading:
    kept = None if gpu.xids is None else gpu.xids[:MOST_XIDS]
    reading = msgspec.structs.replace(gpu, xids=kept, throttle=list(dict.fromkeys(gpu.throttle)))
    return _plausible_reading(reading)


def _plausible_task(task: TaskReading) -> TaskReading:
    uuids = list(dict.fromkeys(task.gpu_uuids))[:MOST_GPUS]
    return _plausible_reading(msgspec.structs.replace(task, gpu_uuids=uuids))


def _plausible_reading(reading: R) -> R:
    mad: dict[str, Any] = {
        name: None for name, (least, most) in LIMITS.items() if not _within(getattr(reading, name, None), least, most)
    }
    return msgspec.structs.replace(reading, **mad) if mad else reading


def _within(value: float | None, least: float, most: float) -> bool:
    return value is None or least <= value <= most
