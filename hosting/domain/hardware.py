"""Which hardware may join, and why not."""

import re

from agent.protocol import GpuFacts, Inventory
from hosting.domain.addresses import is_address
from hosting.domain.texts import clean

OLDEST_COMPUTE_CAPABILITY = (6, 0)
"""Pascal, the GTX 10xx generation."""
SMALLEST_DISK_GB = 10
MAX_GPUS = 16

_MACHINE_RANGES: dict[str, tuple[float, float]] = {
    "cpu_cores": (1, 8192),
    "cpu_ghz": (0, 100),
    "ram_mb": (1, 2**28),
    "disk_total_gb": (0, 2**28),
    "disk_bandwidth_mbps": (0, 1e7),
    "inet_up_mbps": (0, 1e7),
    "inet_down_mbps": (0, 1e7),
}
_GPU_RANGES: dict[str, tuple[float, float]] = {
    "index": (0, 255),
    "vram_mb": (1, 2**24),
    "pcie_gen": (0, 16),
    "pcie_lanes": (0, 64),
    "power_limit_w": (0, 100_000),
    "max_temperature_c": (0, 1000),
    "memory_bandwidth_gbps": (0, 1e6),
    "fp32_tflops": (0, 1e6),
}
"""Far beyond what exists, yet small enough for the database and for the arithmetic of offers."""

_COMPUTE_CAPABILITY = re.compile(r"[0-9]{1,2}(\.[0-9]{1,2})?")
_UUID = re.compile(r"[!-~]{1,80}")

Refusal = tuple[str, str]
"""Code and sentence."""


def capability(text: str) -> tuple[int, int]:
    """The version "8.6" as (8, 6). Raises ValueError for anything else."""
    if not _COMPUTE_CAPABILITY.fullmatch(text):
        raise ValueError(f"{text!r} is not a compute capability")
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


def refusal(inventory: Inventory) -> Refusal | None:
    """Code and sentence why this machine may not join; None when it may."""
    return (
        _gpus_refusal(inventory.gpus)
        or _range_refusal("The machine", inventory, _MACHINE_RANGES)
        or _disk_refusal(inventory)
        or _ports_refusal(inventory)
        or _address_refusal(inventory.public_address)
    )


def _gpus_refusal(gpus: list[GpuFacts]) -> Refusal | None:
    if not gpus:
        return (
            "no_gpu",
            "No NVIDIA GPU was found. Check that nvidia-smi lists your GPUs, then register again.",
        )
    if len(gpus) > MAX_GPUS:
        return "too_many_gpus", f"A machine has at most {MAX_GPUS} GPUs; this one reports {len(gpus)}."
    problem = next(filter(None, map(_gpu_refusal, gpus)), None)
    if problem:
        return problem
    if len({gpu.uuid for gpu in gpus}) < len(gpus):
        return "bad_inventory", "Two GPUs are reported with the same UUID."
    models = sorted({gpu.model for gpu in gpus})
    if len(models) > 1:
        return "mixed_gpus", f"All GPUs of a machine must be of one model; this one has {', '.join(models)}."
    return None


def _disk_refusal(inventory: Inventory) -> Refusal | None:
    if inventory.disk_total_gb >= SMALLEST_DISK_GB:
        return None
    return (
        "disk_too_small",
        f"Containers need at least {SMALLEST_DISK_GB} GB of disk; this machine has {inventory.disk_total_gb} GB.",
    )


def _ports_refusal(inventory: Inventory) -> Refusal | None:
    if 1 <= inventory.port_first <= inventory.port_last <= 65535:
        return None
    return (
        "bad_port_range",
        f"{inventory.port_first}-{inventory.port_last} is not a range of ports (1-65535).",
    )


def _address_refusal(address: str | None) -> Refusal | None:
    if not address or is_address(address):
        return None
    return "bad_public_address", f"{clean(address, 80)!r} is neither an IP address nor a host name."


def _range_refusal(what: str, facts: Inventory | GpuFacts, ranges: dict[str, tuple[float, float]]) -> Refusal | None:
    for name, (least, most) in ranges.items():
        value = getattr(facts, name)
        if not least <= value <= most:  # also true of NaN
            return "bad_inventory", f"{what} reports {name} = {value}; it must be between {least:g} and {most:g}."
    return None


def _gpu_refusal(gpu: GpuFacts) -> Refusal | None:
    if not _UUID.fullmatch(gpu.uuid) or not clean(gpu.model).strip():
        return "bad_inventory", f"GPU {gpu.index} has no proper UUID or no model name."
    try:
        found = capability(gpu.compute_capability)
    except ValueError:
        return (
            "bad_inventory",
            f"{gpu.model}: {gpu.compute_capability!r} is not a compute capability like 8.6.",
        )
    if found < OLDEST_COMPUTE_CAPABILITY:
        return (
            "hardware_too_old",
            f"{gpu.model} has compute capability {gpu.compute_capability}; the oldest supported generation is GTX 10xx "
            "(Pascal, 6.0).",
        )
    return _range_refusal(gpu.model, gpu, _GPU_RANGES)
