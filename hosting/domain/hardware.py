"""Which hardware may join, and why not."""

from agent.protocol import GpuFacts, Inventory

OLDEST_COMPUTE_CAPABILITY = (6, 0)
"""Pascal, the GTX 10xx generation."""
SMALLEST_DISK_GB = 10


def capability(text: str) -> tuple[int, int]:
    """The version "8.6" as (8, 6). Raises ValueError for anything else."""
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


def refusal(inventory: Inventory) -> tuple[str, str] | None:
    """Code and sentence why this machine may not join; None when it may."""
    if not inventory.gpus:
        return (
            "no_gpu",
            "No NVIDIA GPU was found. Check that nvidia-smi lists your GPUs, then register again.",
        )
    for gpu in inventory.gpus:
        problem = _gpu_refusal(gpu)
        if problem:
            return problem
    models = sorted({gpu.model for gpu in inventory.gpus})
    if len(models) > 1:
        return "mixed_gpus", f"All GPUs of a machine must be of one model; this one has {', '.join(models)}."
    if inventory.disk_total_gb < SMALLEST_DISK_GB:
        return (
            "disk_too_small",
            f"Containers need at least {SMALLEST_DISK_GB} GB of disk; this machine has {inventory.disk_total_gb} GB.",
        )
    if not 1 <= inventory.port_first <= inventory.port_last <= 65535:
        return (
            "bad_port_range",
            f"{inventory.port_first}-{inventory.port_last} is not a range of ports (1-65535).",
        )
    return None


def _gpu_refusal(gpu: GpuFacts) -> tuple[str, str] | None:
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
    if gpu.vram_mb <= 0:
        return "bad_inventory", f"{gpu.model} reports no memory."
    return None
