"""What a source of GPUs and a description of their host look like, whichever way they come about."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from agent.protocol import GpuFacts
from agent.telemetry_protocol import GpuReading, MachineReading


@dataclass(frozen=True, kw_only=True)
class Driver:
    """The GPUs' driver."""

    driver_version: str
    cuda_version: str


class InventoryError(Exception):
    """The machine can't be described; says why and what helps."""


class GpuSource(Protocol):
    """Where GPUs come from."""

    simulated: bool

    def gpus(self) -> list[GpuFacts]:
        """All GPUs of the machine. Raises ``InventoryError``."""

    def driver(self) -> Driver:
        """Raises ``InventoryError``."""

    def readings(self, busy: Collection[str]) -> list[GpuReading]:
        """How the GPUs are now; ``busy`` are the UUIDs of those that a container has. Raises ``InventoryError``."""


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """The machine around the GPUs; units as in ``agent.protocol.Inventory``."""

    hostname: str
    cpu_name: str
    cpu_arch: str
    cpu_cores: int
    cpu_ghz: float
    has_avx: bool
    ram_mb: int
    disk_name: str
    disk_total_gb: int
    disk_bandwidth_mbps: float
    inet_up_mbps: float
    inet_down_mbps: float
    os_name: str
    os_version: str
    kernel_version: str
    motherboard: str


class HostSource(Protocol):
    """Where the rest of the machine comes from."""

    def facts(self) -> HostFacts: ...

    def reading(self, busy: Collection[str]) -> MachineReading:
        """How the machine is now; ``busy`` as for its GPUs. What can't be seen is None."""
