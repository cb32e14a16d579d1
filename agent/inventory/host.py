"""CPU, memory, disk, network and system of the real machine, from the kernel's own records. Measures nothing."""

import os
import platform
import re
import shutil
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import psutil

from agent.inventory.sources import HostFacts
from agent.telemetry.rates import Rates
from agent.telemetry_protocol import MachineReading

_MB = 1 << 20
_GB = 1 << 30
_ROTATING_MBPS = 150.0
_SATA_SSD_MBPS = 500.0
_NVME_MBPS = 2500.0
_UNKNOWN_LINK_MBPS = 100.0


@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """What the host states; None lets the agent take what the kernel knows."""

    hostname: str | None = None
    disk_gb: int | None = None
    inet_up_mbps: float | None = None
    inet_down_mbps: float | None = None
    disk_bandwidth_mbps: float | None = None


class RealHost:
    """``data_root`` is the directory whose disk the containers use; ``used_gb`` what they use of it already."""

    def __init__(self, options: HostOptions, data_root: Path, root: Path = Path("/")) -> None:
        self._options = options
        self._data_root = data_root
        self._root = root
        self._rates = Rates()

    def reading(self, busy: Collection[str]) -> MachineReading:
        del busy  # the kernel knows how much they do
        disk, now = shutil.disk_usage(self._data_root), time.monotonic()
        received, sent = self._outside_bytes()
        return MachineReading(
            cpu_percent=psutil.cpu_percent(),
            ram_used_mb=(psutil.virtual_memory().total - psutil.virtual_memory().available) // _MB,
            disk_used_gb=round(disk.used / _GB, 1),
            disk_free_gb=round(disk.free / _GB, 1),
            net_rx_bytes_per_s=self._rates.rate("rx", received, now),
            net_tx_bytes_per_s=self._rates.rate("tx", sent, now),
        )

    def _outside_bytes(self) -> tuple[int, int]:
        """Received and sent by real interfaces: what bridges and containers carry would count twice."""
        devices = self._root / "sys/class/net"
        real = [
            counters
            for name, counters in psutil.net_io_counters(pernic=True).items()
            if (devices / name / "device").exists()
        ]
        return sum(one.bytes_recv for one in real), sum(one.bytes_sent for one in real)

    def facts(self) -> HostFacts:
        options, cpuinfo = self._options, self._read("proc/cpuinfo")
        link_mbps = self._link_mbps()
        os_name, os_version = self._system()
        return HostFacts(
            hostname=options.hostname or socket.gethostname(),
            cpu_name=_match(r"^model name\s*: (.+)$", cpuinfo) or platform.processor() or platform.machine(),
            cpu_arch=platform.machine(),
            cpu_cores=os.cpu_count() or 1,
            cpu_ghz=self._cpu_ghz(cpuinfo),
            has_avx="avx" in _match(r"^flags\s*: (.+)$", cpuinfo).split(),
            ram_mb=psutil.virtual_memory().total // _MB,
            disk_name=self._disk_name(),
            disk_total_gb=options.disk_gb or self._free_gb(),
            disk_bandwidth_mbps=options.disk_bandwidth_mbps or self._disk_mbps(),
            inet_up_mbps=options.inet_up_mbps or link_mbps,
            inet_down_mbps=options.inet_down_mbps or link_mbps,
            os_name=os_name,
            os_version=os_version,
            kernel_version=platform.release(),
            motherboard=self._motherboard(),
        )

    def _read(self, path: str) -> str:
        try:
            return (self._root / path).read_text(errors="replace").strip()
        except OSError:
            return ""

    def _cpu_ghz(self, cpuinfo: str) -> float:
        highest_khz = self._read("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
        mhz = (
            float(highest_khz) / 1000
            if highest_khz.isdigit()
            else float(_match(r"^cpu MHz\s*: ([\d.]+)$", cpuinfo) or 0)
        )
        return round(mhz / 1000, 2)

    def _free_gb(self) -> int:
        """The host's free space; a host with guests on it should state --disk-gb, or this shrinks as they write."""
        return shutil.disk_usage(self._data_root).free // _GB

    def _block_device(self) -> Path | None:
        """The whole disk under the data directory, as its directory in /sys."""
        number = self._data_root.stat().st_dev
        entry = (self._root / f"sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
        if not entry.exists():
            return None
        return entry.parent if (entry / "partition").exists() else entry

    def _disk_name(self) -> str:
        device = self._block_device()
        if device is None:
            return "unknown"
        return self._read(str((device / "device/model").relative_to("/"))) or device.name

    def _disk_mbps(self) -> float:
        """What disks of this kind usually do; the marketplace measures machines itself."""
        device = self._block_device()
        if device is None:
            return _SATA_SSD_MBPS
        if device.name.startswith("nvme"):
            return _NVME_MBPS
        rotating = self._read(str((device / "queue/rotational").relative_to("/"))) == "1"
        return _ROTATING_MBPS if rotating else _SATA_SSD_MBPS

    def _link_mbps(self) -> float:
        """Speed of the fastest link that is up."""
        speeds = [state.speed for name, state in psutil.net_if_stats().items() if state.isup and name != "lo"]
        return float(max(speeds, default=0)) or _UNKNOWN_LINK_MBPS

    def _system(self) -> tuple[str, str]:
        release = self._read("etc/os-release")
        name = _match(r'^NAME="?([^"\n]+)"?$', release) or platform.system()
        return name, _match(r'^VERSION_ID="?([^"\n]+)"?$', release) or platform.version()

    def _motherboard(self) -> str:
        board = [self._read(f"sys/devices/virtual/dmi/id/board_{part}") for part in ("vendor", "name")]
        return " ".join(part for part in board if part) or "unknown"


def _match(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1].strip() if found else ""
