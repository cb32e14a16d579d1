"""How a machine is cut into offers."""

import re

from dlperf.domain.possible import link_gbps

HOURS_PER_MONTH = 720
"""A billing month: 30 days."""

_VERSION = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}){0,3}")
"""ASCII digits only, and few: int() and float() take far more than what a driver calls itself."""


def slice_sizes(gpu_count: int, minimum: int) -> list[int]:
    """GPU counts offered: the minimum, doubling while it fits, and all GPUs together."""
    sizes = []
    size = max(minimum, 1)
    while size <= gpu_count:
        sizes.append(size)
        size *= 2
    if gpu_count not in sizes and gpu_count >= minimum:
        sizes.append(gpu_count)
    return sizes


def disk_share_gb(disk_total_gb: int, disk_given_gb: int, gpus: int, gpu_count: int) -> int:
    """The most disk a slice may take: its part of the whole, but no more than is left."""
    return max(min(disk_total_gb * gpus // gpu_count, disk_total_gb - disk_given_gb), 0)


def storage_micros_per_hour(micros_per_gb_month: int, disk_gb: int) -> int:
    """Hourly rate of a disk, rounded half up to the micro-dollar once, when it is rented."""
    return (2 * micros_per_gb_month * disk_gb + HOURS_PER_MONTH) // (2 * HOURS_PER_MONTH)


def driver_number(version: str) -> int:
    """The version "550.54.15" as 550054015, so that versions compare as numbers; 0 for what is no version."""
    if not _VERSION.fullmatch(version):
        return 0
    major, minor, patch = [*(int(part) for part in version.split(".")[:3]), 0, 0][:3]
    return major * 1_000_000 + minor * 1_000 + patch


def cuda_number(version: str) -> float:
    """The version "12.8" as 12.8; 0 for what is no version."""
    if not _VERSION.fullmatch(version):
        return 0.0
    return float(".".join(version.split(".")[:2]))


def pcie_bandwidth_gbps(generation: int, lanes: int) -> float:
    """Gigabytes per second each way of a PCIe link."""
    return round(link_gbps(generation, lanes), 1)


def country_of(geolocation: str) -> str:
    """The trailing country code of "City, CC", upper case; empty when there is none."""
    code = geolocation.rpartition(",")[2].strip().upper()
    return code if len(code) == 2 and code.isalpha() else ""
