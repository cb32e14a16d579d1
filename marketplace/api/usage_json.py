"""What instances and machines use, as the API tells it. GB are 1024 MB here; null is not known."""

from collections.abc import Iterable
from typing import Any

from hosting.domain.telemetry import PERIODS
from hosting.models import Gpu, GpuClaim, Task
from hosting.telemetry import DEFAULT_PERIOD, GpuNow, History, MachineNow, TaskNow, tasks_now
from marketplace.domain import instance_states as states
from marketplace.errors import MarketError
from marketplace.models import Instance

USAGE_COLUMNS = (
    "gpu_util",
    "gpu_temp",
    "cpu_util",
    "mem_limit",
    "mem_usage",
    "vmem_usage",
    "net_rx_bytes_per_second",
    "net_tx_bytes_per_second",
    "gpu_problem",
)
NO_USAGE: dict[str, Any] = dict.fromkeys(USAGE_COLUMNS)
_MB_PER_GB = 1024


def usages(instances: Iterable[Instance]) -> dict[int, dict[str, Any]]:
    """The usage fields of instances by id, with one look for all."""
    found = list(instances)
    now = tasks_now([one.task for one in found if one.state == states.RUNNING])
    problems = _problems([one.task for one in found])
    return {one.pk: {**_usage(now.get(one.task_id)), "gpu_problem": problems.get(one.task_id)} for one in found}


def _usage(now: TaskNow | None) -> dict[str, Any]:
    """Percent, degrees Celsius, GB, bytes a second."""
    if now is None:
        return NO_USAGE
    return {
        "gpu_util": now.gpu_percent,
        "gpu_temp": now.hottest_c,
        "cpu_util": now.task.cpu_percent,
        "mem_limit": _gb(now.task.ram_limit_mb),
        "mem_usage": _gb(now.task.ram_used_mb),
        "vmem_usage": _gb(now.vram_used_mb),
        "net_rx_bytes_per_second": now.task.net_rx_bytes_per_s,
        "net_tx_bytes_per_second": now.task.net_tx_bytes_per_s,
    }


def _problems(tasks: list[Task]) -> dict[int, str]:
    """What is wrong with GPUs that these tasks have, by task."""
    held = GpuClaim.objects.filter(task__in=tasks, released_at=None).exclude(gpu__unhealthy_reason="")
    return dict(held.order_by("-gpu__index").values_list("task_id", "gpu__unhealthy_reason"))


def machine_usage(now: MachineNow | None) -> dict[str, Any]:
    """Fields of a machine's row."""
    reading = now.machine if now is not None else None
    return {
        "cpu_util": reading.cpu_percent if reading else None,
        "mem_usage": _gb(reading.ram_used_mb) if reading else None,
        "disk_used": reading.disk_used_gb if reading else None,
        "net_rx_bytes_per_second": reading.net_rx_bytes_per_s if reading else None,
        "net_tx_bytes_per_second": reading.net_tx_bytes_per_s if reading else None,
    }


def gpu_rows(gpus: Iterable[Gpu], now: MachineNow | None) -> list[dict[str, Any]]:
    """One object for each GPU of a machine."""
    readings = now.gpus if now is not None else {}
    return [_gpu_row(gpu, readings.get(gpu.uuid)) for gpu in gpus]


def _gpu_row(gpu: Gpu, now: GpuNow | None) -> dict[str, Any]:
    return {
        "index": gpu.index,
        "uuid": gpu.uuid,
        "gpu_name": gpu.model,
        "problem": gpu.unhealthy_reason or None,
        "gpu_util": now.utilization_percent if now else None,
        "gpu_temp": now.temperature_c if now else None,
        "vmem_usage": _gb(now.memory_used_mb) if now else None,
        "power": now.power_w if now else None,
        "power_limit": now.power_limit_w if now else None,
        "fan": now.fan_percent if now else None,
        "ecc_corrected": now.ecc_corrected if now else None,
        "ecc_uncorrected": now.ecc_uncorrected if now else None,
        "xids": [seen.xid for seen in now.xids] if now is not None and now.xids is not None else None,
    }


def period_of(asked: str | None) -> str:
    """Raises MarketError(invalid_args)."""
    period = asked or DEFAULT_PERIOD
    if period not in PERIODS:
        raise MarketError("invalid_args", f"period must be one of {', '.join(PERIODS)}.", field="period")
    return period


def history_json(history: History) -> dict[str, Any]:
    """All lines over the same ``times``, in seconds since 1970; null where nothing was measured.

    ``total`` is how many there were of what is counted, as errors are, and null for all else.
    """
    return {
        "success": True,
        "period": history.period,
        "step_seconds": history.step_seconds,
        "times": history.times,
        "charts": [
            {
                "key": chart.key,
                "unit": chart.unit,
                "series": [
                    {"label": one.label, "mean": one.mean, "min": one.least, "max": one.most, "total": one.total}
                    for one in chart.series
                ],
            }
            for chart in history.charts
        ],
    }


def _gb(megabytes: int | None) -> float | None:
    return None if megabytes is None else round(megabytes / _MB_PER_GB, 3)
