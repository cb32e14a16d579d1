"""A whole run: every device, the computer around them, the line; and the result as it is printed."""

import logging
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from dlperf.workload import WORKLOAD_VERSION, host, models, network
from dlperf.workload.devices import Device, Sizes, find_devices, sizes_for
from dlperf.workload.micro import GIGA
from dlperf.workload.scaling import ScalingError, measure_scaling
from dlperf.workload.suite import FULL_SUITE, SHORT_SUITE, first_line, run_suite
from dlperf.workload.timing import Budget, Measured

log = logging.getLogger("dlperf")
RESULT_VERSION = 1
HOST_PART, OTHERS_PART, SCALING_PART = 0.1, 0.25, 0.2
"""Of the whole time: for the computer and its line, and with several GPUs for the others and for all at once."""
LEAST_SCALING_SECONDS = 20.0
CPU_TEST_SECONDS = 2.0


@dataclass(frozen=True)
class Plan:
    """What a run was asked for."""

    mode: str
    device: str
    seconds: float
    endpoint: network.Endpoint | None = None


def run(plan: Plan) -> dict[str, Any]:
    """Measure everything; the result as JSON values. Raises ValueError where the wanted device is missing."""
    budget = Budget(plan.seconds)
    devices = find_devices(plan.device)
    sizes = sizes_for(devices[0], plan.mode)
    models.fixed_seed()
    if not sizes.takes_time:
        # Threads that wait for each other on a busy CPU make tiny work a hundred times slower.
        torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = True
    notes: list[str] = []
    around = {"host": _host(sizes, notes), "network": _network(plan, sizes, notes)}
    measured = list(_devices(devices, plan.mode, budget))
    scaling = _scaling(devices, sizes, budget, notes)
    return {
        "version": RESULT_VERSION,
        "mode": plan.mode,
        "device": devices[0].kind,
        "versions": _versions(),
        "seconds": round(budget.used(), 3),
        "devices": measured,
        **around,
        "scaling": scaling,
        "notes": notes,
    }


def _devices(devices: list[Device], mode: str, budget: Budget) -> Iterator[dict[str, Any]]:
    """The first in full, then the others in short, which share a part of the time."""
    others = len(devices) - 1
    later = budget.left() * ((OTHERS_PART + SCALING_PART) if others else 0.0)
    each = budget.left() * OTHERS_PART / others if others else 0.0
    yield _device(devices[0], mode, budget, budget.left() - later)
    for device in devices[1:]:
        yield _device(device, mode, budget, each)


def _device(device: Device, mode: str, budget: Budget, seconds: float) -> dict[str, Any]:
    suite = FULL_SUITE if device.index == 0 else SHORT_SUITE
    if device.kind == "cuda":
        torch.cuda.set_device(device.index)
    found = run_suite(device, sizes_for(device, mode), suite, budget, seconds)
    major, minor = device.capability
    return {
        "index": device.index,
        "name": device.name,
        "uuid": device.uuid,
        "memory_mb": device.memory_mb,
        "compute_capability": f"{major}.{minor}" if device.kind == "cuda" else "",
        "metrics": found.metrics,
        "skipped": found.skipped,
    }


def _host(sizes: Sizes, notes: list[str]) -> dict[str, Any]:
    found = {
        "cpu_gflops": _scaled(host.measured(host.cpu_product(sizes), sizes, _cpu_seconds(sizes)), GIGA),
        "ram_bandwidth_gbps": _scaled(host.measured(host.ram_copy(sizes), sizes, _cpu_seconds(sizes)), GIGA),
    }
    try:
        written, read = host.disk_rates(sizes)
    except OSError as error:
        notes.append(f"The disk was not measured: {first_line(error)}"[:300])
    else:
        found |= {"disk_write_mbps": _scaled(written, host.MEGA), "disk_read_mbps": _scaled(read, host.MEGA)}
    return found


def _cpu_seconds(sizes: Sizes) -> float:
    return CPU_TEST_SECONDS if sizes.takes_time else 0.0


def _network(plan: Plan, sizes: Sizes, notes: list[str]) -> dict[str, Any]:
    if plan.endpoint is None:
        return {}
    tests: dict[str, Callable[[int], None]] = {
        "download_mbps": plan.endpoint.download,
        "upload_mbps": plan.endpoint.upload,
    }
    found = {}
    for name, transfer in tests.items():
        try:
            found[name] = _scaled(network.line_rate(transfer, sizes.network_bytes), host.MEGA)
        except OSError as error:
            notes.append(f"{name} was not measured: {first_line(error)}"[:300])
        log.info("%s: %s", name, found.get(name, "failed"))
    return found


def _scaling(devices: list[Device], sizes: Sizes, budget: Budget, notes: list[str]) -> dict[str, Any] | None:
    if len(devices) < 2:
        return None
    if budget.left() < LEAST_SCALING_SECONDS:
        notes.append("Training on all GPUs at once was not measured: the time was up.")
        return None
    try:
        return measure_scaling(devices, sizes, budget.left())
    except (ScalingError, OSError, RuntimeError) as error:
        notes.append(first_line(error))
        return None


def _scaled(rates: Measured, unit: float) -> dict[str, float | int]:
    return Measured(tuple(rate / unit for rate in rates.rates)).as_json()


def _versions() -> dict[str, Any]:
    cudnn = torch.backends.cudnn.version() if torch.cuda.is_available() else None
    return {
        "workload": WORKLOAD_VERSION,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "cuda": str(torch.version.cuda or ""),
        "cudnn": str(cudnn or ""),
    }
