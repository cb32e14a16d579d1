"""Machines that do not exist: GPUs of the catalogue in hosts that would suit them.

The same seed gives the same machine, to the last serial number.
"""

import random
import re
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass

from agent.inventory import simulated_readings
from agent.inventory.catalogue import GpuModel, UnknownGpuError, find
from agent.inventory.host import HostOptions
from agent.inventory.sources import Driver, HostFacts
from agent.protocol import GpuFacts
from agent.telemetry_protocol import GpuReading, MachineReading

MOST_GPUS = 16
_NAMESPACE = uuid.UUID("6a0c8f5e-0e9a-4f6c-9a53-5d6d1f0c7a11")
_SERVER_POWER = ("SXM", "PCIe", "Tesla", "H100", "H200", "B200", "A100", "L40", "L4", "A40", "A10")


class SimulationError(ValueError):
    """The description of a simulated machine makes no sense; says how to write it."""


@dataclass(frozen=True)
class _Build:
    """A kind of host: CPU, its logical cores, clock and board."""

    cpu_name: str
    cpu_cores: int
    cpu_ghz: float
    motherboard: str


_DESKTOPS = [
    _Build("Intel(R) Core(TM) i7-8700K CPU @ 3.70GHz", 12, 4.7, "ASUSTeK PRIME Z370-A"),
    _Build("AMD Ryzen 7 5800X 8-Core Processor", 16, 4.85, "MSI MAG B550 TOMAHAWK"),
    _Build("AMD Ryzen 9 7950X 16-Core Processor", 32, 5.7, "Gigabyte X670 AORUS ELITE AX"),
    _Build("13th Gen Intel(R) Core(TM) i9-13900K", 32, 5.8, "ASUSTeK ROG STRIX Z790-E"),
]
_WORKSTATIONS = [
    _Build("AMD EPYC 7302P 16-Core Processor", 32, 3.3, "ASRockRack ROMED8-2T"),
    _Build("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", 56, 3.3, "Supermicro X10DRG-Q"),
    _Build("AMD Ryzen Threadripper PRO 3955WX 16-Cores", 32, 4.3, "ASUSTeK Pro WS WRX80E-SAGE SE WIFI"),
    _Build("AMD EPYC 7542 32-Core Processor", 64, 3.4, "Gigabyte MZ32-AR0-00"),
]
_SERVERS = [
    _Build("AMD EPYC 7763 64-Core Processor", 128, 3.5, "Supermicro H12DSG-O-CPU"),
    _Build("Intel(R) Xeon(R) Platinum 8480+", 224, 3.8, "Supermicro X13DEG-OAD"),
    _Build("AMD EPYC 9554 64-Core Processor", 256, 3.75, "Gigabyte MZ93-FS0-000"),
]
_DISKS = [("Samsung SSD 980 PRO", 3300.0), ("WD_BLACK SN850X", 4100.0), ("KINGSTON SA400S37", 480.0)]
_SERVER_DISKS = [("SAMSUNG MZQL23T8HCLS", 5200.0), ("INTEL SSDPE2KX040T8", 2900.0), ("Micron_7450_MTFDKCC", 6100.0)]
_SYSTEMS = [
    ("Ubuntu", "20.04", "5.4.0-190-generic"),
    ("Ubuntu", "22.04", "5.15.0-119-generic"),
    ("Ubuntu", "24.04", "6.8.0-45-generic"),
]
_DRIVERS = [
    Driver(driver_version="535.183.01", cuda_version="12.2"),
    Driver(driver_version="550.120", cuda_version="12.4"),
    Driver(driver_version="570.133.20", cuda_version="12.8"),
]
_BLACKWELL_DRIVER = _DRIVERS[-1]


def parse(description: str) -> list[GpuModel]:
    """The GPUs of e.g. "4x RTX 3090", "RTX 4090" or "2x A40, 1x L4". Raises ``SimulationError``."""
    gpus: list[GpuModel] = []
    for part in re.split(r"[,+]", description):
        match = re.fullmatch(r"\s*(?:(\d+)\s*[x*]\s*)?(\S.*?)\s*", part, re.IGNORECASE)
        if match is None:
            raise SimulationError(f"“{description}” describes no machine; write for example “4x RTX 3090”.")
        try:
            gpus += [find(match[2])] * int(match[1] or 1)
        except UnknownGpuError as error:
            raise SimulationError(str(error)) from error
    if not 1 <= len(gpus) <= MOST_GPUS:
        raise SimulationError(f"A simulated machine has 1 to {MOST_GPUS} GPUs, not {len(gpus)}.")
    return gpus


class SimulatedMachine:
    """Both a ``GpuSource`` and a ``HostSource``."""

    simulated = True

    def __init__(self, description: str, seed: str, options: HostOptions) -> None:
        self._models = parse(description)
        self._seed = seed
        self._options = options

    def gpus(self) -> list[GpuFacts]:
        return [self._gpu(index, model) for index, model in enumerate(self._models)]

    def driver(self) -> Driver:
        newest = any(model.architecture.startswith("Blackwell") for model in self._models)
        return _BLACKWELL_DRIVER if newest else self._random("driver").choice(_DRIVERS)

    def facts(self) -> HostFacts:
        chance, options = self._random("host"), self._options
        build = chance.choice(self._builds())
        disk_name, disk_mbps = chance.choice(_SERVER_DISKS if build in _SERVERS else _DISKS)
        os_name, os_version, kernel = chance.choice(_SYSTEMS)
        down = chance.choice([1000.0, 2500.0, 10000.0] if build in _SERVERS else [100.0, 300.0, 500.0, 940.0])
        down = round(down * chance.uniform(0.6, 0.95), 1)
        up = round(down * chance.choice([1.0, 0.9, 0.5, 0.2]), 1)
        disk_gb = chance.choice([1, 2, 4]) * 240 * max(2, len(self._models))
        return HostFacts(
            hostname=options.hostname or f"sim-{self._seed[:8].lower()}",
            cpu_name=build.cpu_name,
            cpu_arch="x86_64",
            cpu_cores=build.cpu_cores,
            cpu_ghz=build.cpu_ghz,
            has_avx=True,
            ram_mb=self._ram_mb(chance),
            disk_name=disk_name,
            disk_total_gb=options.disk_gb or disk_gb,
            disk_bandwidth_mbps=options.disk_bandwidth_mbps or round(disk_mbps * chance.uniform(0.85, 1.0), 1),
            inet_up_mbps=options.inet_up_mbps or up,
            inet_down_mbps=options.inet_down_mbps or down,
            os_name=os_name,
            os_version=os_version,
            kernel_version=kernel,
            motherboard=build.motherboard,
        )

    def readings(self, busy: Collection[str]) -> list[GpuReading]:
        now = time.time()
        return [simulated_readings.gpu(facts, now, busy=facts.uuid in busy) for facts in self.gpus()]

    def reading(self, busy: Collection[str]) -> MachineReading:
        share = len(set(busy) & {gpu.uuid for gpu in self.gpus()}) / len(self._models)
        return simulated_readings.machine(self.facts(), time.time(), busy_share=share)

    def _random(self, purpose: str) -> random.Random:
        return random.Random(f"{self._seed}/{purpose}")  # noqa: S311 - has to be repeatable, not secret

    def _builds(self) -> list[_Build]:
        if any(word in model.model for model in self._models for word in _SERVER_POWER):
            return _SERVERS
        return _DESKTOPS if len(self._models) <= 2 else _WORKSTATIONS

    def _ram_mb(self, chance: random.Random) -> int:
        """The smallest usual size with one to two times the GPUs' memory."""
        vram_mb = sum(model.vram_mb for model in self._models)
        least = max(16384, vram_mb * chance.choice([1.0, 1.25, 2.0]))
        size = 16384
        while size < least:
            size *= 2
        return size

    def _gpu(self, index: int, model: GpuModel) -> GpuFacts:
        return GpuFacts(
            uuid=f"GPU-{uuid.uuid5(_NAMESPACE, f'{self._seed}/{index}')}",
            index=index,
            model=model.model,
            vram_mb=model.vram_mb,
            compute_capability=model.compute_capability,
            pci_bus_id=f"00000000:{(index + 1) * 8:02X}:00.0",
            pcie_gen=model.pcie_gen,
            pcie_lanes=model.pcie_lanes,
            power_limit_w=model.power_limit_w,
            max_temperature_c=93,
            memory_bandwidth_gbps=model.memory_bandwidth_gbps,
            fp32_tflops=model.fp32_tflops,
        )
