"""Reads of measurements: how machines and tasks are now, and how they were."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import redis
import structlog

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
from hosting.domain.telemetry import PERIODS, Content, Stored, in_slots, slot_start, unpacked
from hosting.gateways import live_figures
from hosting.models import Gpu, Machine, Task, TelemetryWindow

logger = structlog.get_logger(__name__)

DEFAULT_PERIOD = "24h"
_MB_PER_GB = 1024
_BYTES_PER_MB = 1e6


@dataclass(frozen=True)
class Series:
    """One line of a chart; None where nothing was measured. ``least`` and ``most`` are of single looks."""

    label: str
    mean: list[float | None]
    least: list[float | None]
    most: list[float | None]
    average: float | None
    lowest: float | None
    highest: float | None
    total: int | None = None
    """Of things that are counted: how many in all. Their ``mean`` is how many there were at each point."""


@dataclass(frozen=True)
class Chart:
    """One quantity over a period."""

    key: str
    title: str
    unit: str
    series: list[Series]
    counts: bool = False
    """Things that happen, a bar for each point; without any series none happened."""


@dataclass(frozen=True)
class History:
    """Charts over the same points in time, in seconds since 1970, the middle of each point's stretch."""

    period: str
    step_seconds: int
    times: list[int]
    charts: list[Chart]

    @property
    def is_empty(self) -> bool:
        return all(series.average is None for chart in self.charts for series in chart.series)

    @property
    def data(self) -> dict[str, Any]:
        """As the browser draws it."""
        return {
            "times": self.times,
            "charts": {
                chart.key: {
                    "unit": chart.unit,
                    "counts": chart.counts,
                    "series": [{"label": one.label, "mean": one.mean, "most": one.most} for one in chart.series],
                }
                for chart in self.charts
            },
        }


@dataclass(frozen=True)
class TaskNow:
    """A task and its GPUs at the last look."""

    task: TaskReading
    gpus: list[GpuReading]

    @property
    def gpu_percent(self) -> float | None:
        """Over its GPUs."""
        return _mean([gpu.utilization_percent for gpu in self.gpus])

    @property
    def hottest_c(self) -> int | None:
        return max((gpu.temperature_c for gpu in self.gpus if gpu.temperature_c is not None), default=None)

    @property
    def vram_used_mb(self) -> int | None:
        return _sum([gpu.memory_used_mb for gpu in self.gpus])

    @property
    def vram_total_mb(self) -> int | None:
        return _sum([gpu.memory_total_mb for gpu in self.gpus])


GpuNow = GpuReading
"""A GPU at the last look."""


@dataclass(frozen=True)
class MachineNow:
    """A machine at the last look, and its GPUs by UUID."""

    machine: MachineReading
    gpus: dict[str, GpuNow]


def machines_now(machine_ids: Iterable[int]) -> dict[int, MachineNow]:
    """How machines are, by id."""
    return {
        pk: MachineNow(live.machine, {gpu.uuid: gpu for gpu in live.gpus if not gpu.lost})
        for pk, live in live_of(machine_ids).items()
    }


def live_of(machine_ids: Iterable[int]) -> dict[int, Live]:
    """How machines are, by id; those that said nothing in the last minute and a half are left out."""
    try:
        return {pk: told.live for pk, told in live_figures.latest(machine_ids).items()}
    except redis.RedisError as error:
        logger.warning("live_figures_unavailable", error=str(error))
        return {}


def tasks_now(tasks: Iterable[Task]) -> dict[int, TaskNow]:
    """How running tasks are, by id."""
    wanted = {task.pk: task.machine_id for task in tasks}
    live = live_of(wanted.values())
    found = {}
    for machine_id, seen in live.items():
        by_uuid = {gpu.uuid: gpu for gpu in seen.gpus}
        for reading in seen.tasks:
            if wanted.get(reading.task_id) == machine_id:
                gpus = [by_uuid[uuid] for uuid in reading.gpu_uuids if uuid in by_uuid]
                found[reading.task_id] = TaskNow(reading, gpus)
    return found


def machine_history(machine: Machine, period: str, now: datetime) -> History:
    """Of the machine and each of its GPUs. ``period`` is one of PERIODS, else the usual one."""
    period, slots, grid = _slots(machine.pk, period, now)
    gpus = list(Gpu.objects.filter(machine=machine).order_by("index"))
    seen = {gpu_id for window in slots.values() for gpu_id in window.content.gpus}
    shown = [gpu for gpu in gpus if gpu.present or gpu.pk in seen]
    charts = _gpu_charts(slots, grid, [(f"GPU {gpu.index}", _of_gpu(gpu.pk)) for gpu in shown])
    charts += _other_charts(slots, grid, lambda content: content.machine, disk="disk_used_gb")
    charts += error_charts(slots, grid, [(f"GPU {gpu.index}", _of_gpu(gpu.pk)) for gpu in shown])
    return _history(period, grid, charts)


def task_history(task: Task, period: str, now: datetime) -> History:
    """Of one task, and of its GPUs while it had them."""
    period, slots, grid = _slots(task.machine_id, period, now)
    held = {gpu_id for window in slots.values() for gpu_id in window.content.task_gpus.get(task.pk, ())}
    gpus = list(Gpu.objects.filter(pk__in=held).order_by("index"))
    lines = [(f"GPU {number}", _of_held(task.pk, gpu.pk)) for number, gpu in enumerate(gpus)]
    charts = _gpu_charts(slots, grid, lines)
    charts += _other_charts(slots, grid, lambda content: content.tasks.get(task.pk), disk="disk_used_mb")
    charts += error_charts(slots, grid, lines)
    return _history(period, grid, charts)


Slots = dict[datetime, Stored]
Pick = Callable[[Content], Any]


def _slots(machine_id: int, period: str, now: datetime) -> tuple[str, Slots, list[datetime]]:
    name = period if period in PERIODS else DEFAULT_PERIOD
    length, step = PERIODS[name]
    first = slot_start(now - length, step)
    rows = TelemetryWindow.objects.filter(machine_id=machine_id, started_at__gte=first - step, started_at__lte=now)
    windows = stored_windows(machine_id, rows.values_list("started_at", "ended_at", "content"))
    points = int((now - first) / step) + 1
    return name, in_slots(windows, step), [first + step * number for number in range(points)]


def stored_windows(machine_id: int, rows: Iterable[tuple[datetime, datetime, Any]]) -> list[Stored]:
    """Rows (beginning, end, content) as windows; those that can't be read are left out."""
    found: list[Stored] = []
    unreadable = 0
    for started_at, ended_at, data in rows:
        content = unpacked(bytes(data))
        if content is None:
            unreadable += 1
        else:
            found.append(Stored(started_at, ended_at, content))
    if unreadable:
        logger.warning("telemetry_unreadable", machine_id=machine_id, rows=unreadable)
    return found


def _history(period: str, grid: list[datetime], charts: list[Chart]) -> History:
    step: timedelta = PERIODS[period][1]
    times = [int((start + step / 2).timestamp()) for start in grid]
    return History(period, int(step.total_seconds()), times, charts)


def _of_gpu(gpu_id: int) -> Pick:
    return lambda content: content.gpus.get(gpu_id)


def _of_held(task_id: int, gpu_id: int) -> Pick:
    def pick(content: Content) -> GpuFigures | None:
        return content.gpus.get(gpu_id) if gpu_id in content.task_gpus.get(task_id, ()) else None

    return pick


def _gpu_charts(slots: Slots, grid: list[datetime], gpus: list[tuple[str, Pick]]) -> list[Chart]:
    def chart(key: str, title: str, unit: str, field: str, divisor: float = 1.0) -> Chart:
        lines = [_series(label, slots, grid, pick, field, divisor) for label, pick in gpus]
        return Chart(key, title, unit, lines)

    return [
        chart("gpu_util", "GPU utilisation", "%", "utilization_percent"),
        chart("gpu_memory", "GPU memory", "GB", "memory_used_mb", _MB_PER_GB),
        chart("gpu_temp", "GPU temperature", "°C", "temperature_c"),
        chart("gpu_power", "GPU power", "W", "power_w"),
    ]


def _other_charts(slots: Slots, grid: list[datetime], pick: Pick, *, disk: str) -> list[Chart]:
    """``disk`` names the figure of the disk, in gigabytes or megabytes."""

    def line(label: str, field: str, divisor: float = 1.0) -> Series:
        return _series(label, slots, grid, pick, field, divisor)

    return [
        Chart("cpu_util", "CPU", "%", [line("CPU", "cpu_percent")]),
        Chart("ram", "RAM", "GB", [line("RAM", "ram_used_mb", _MB_PER_GB)]),
        Chart("disk", "Disk", "GB", [line("Disk", disk, _MB_PER_GB if disk.endswith("mb") else 1.0)]),
        Chart(
            "network",
            "Network",
            "MB/s",
            [
                line("In", "net_rx_bytes_per_s", _BYTES_PER_MB),
                line("Out", "net_tx_bytes_per_s", _BYTES_PER_MB),
            ],
        ),
    ]


def _series(label: str, slots: Slots, grid: list[datetime], pick: Pick, field: str, divisor: float) -> Series:
    stats = [_stat(slots.get(start), pick, field) for start in grid]
    known = [stat for stat in stats if stat is not None]
    count = sum(stat.count for stat in known)
    return Series(
        label=label,
        mean=[None if stat is None else round(stat.mean / divisor, 3) for stat in stats],
        least=[None if stat is None else round(stat.least / divisor, 3) for stat in stats],
        most=[None if stat is None else round(stat.most / divisor, 3) for stat in stats],
        average=sum(stat.total for stat in known) / count / divisor if count else None,
        lowest=min(stat.least for stat in known) / divisor if count else None,
        highest=max(stat.most for stat in known) / divisor if count else None,
    )


_ERRORS = {
    "new_ecc_uncorrected": "memory errors not corrected",
    "new_ecc_corrected": "memory errors corrected",
    "new_xids": "errors of the driver",
}


def error_charts(slots: Slots, grid: list[datetime], gpus: list[tuple[str, Pick]]) -> list[Chart]:
    """How many errors of GPUs there were; a line for each GPU and kind that had any. None where none are counted."""
    lines = [
        _counted(f"{label}: {words}", [_stat(slots.get(start), pick, field) for start in grid])
        for field, words in _ERRORS.items()
        for label, pick in gpus
    ]
    known = [line for line in lines if line.total is not None]
    return (
        [Chart("gpu_errors", "Errors of GPUs", "", [one for one in known if one.total], counts=True)] if known else []
    )


def _counted(label: str, stats: list[Stat | None]) -> Series:
    points = [None if stat is None else float(stat.total) for stat in stats]
    known = [point for point in points if point is not None]
    total = int(sum(known)) if known else None
    average = sum(known) / len(known) if known else None
    return Series(label, points, points, points, average, min(known, default=None), max(known, default=None), total)


def _stat(window: Stored | None, pick: Pick, field: str) -> Stat | None:
    if window is None:
        return None
    figures: GpuFigures | MachineFigures | TaskFigures | None = pick(window.content)
    return getattr(figures, field, None) if figures is not None else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
