"""What a machine must have at least to be verified: the published list, and what becomes of it for one machine."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.register_protocol import Requirement
from hosting.domain.torch_builds import LEAST_CUDA

_MB_PER_GB = 1024


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is said of a machine. Of GPUs that differ it is the least."""

    gpus: int
    compute_capability: float
    vram_mb: int
    cuda_version: float
    cpu_cores: int
    ram_mb: int
    disk_gb: int
    disk_mbps: float
    inet_down_mbps: float
    inet_up_mbps: float
    ports: int
    toolkit: float | None = None
    """Version of NVIDIA's container toolkit as ``toolkit_number`` has it; None where it is not told."""


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """The least of one fact."""

    title: str
    unit: str
    least: float
    remedy: str
    of: Callable[[Facts], float | None]
    """None where it is not told, and so not judged."""
    spell: Callable[[float], str] = lambda value: f"{value:.1f}".removesuffix(".0")

    @property
    def needs(self) -> str:
        """The least, with its unit."""
        return self._spelled(self.least)

    def check(self, facts: Facts) -> Requirement | None:
        """Whether the machine has it; None where that is not judged."""
        value = self.of(facts)
        if value is None:
            return None
        return Requirement(
            title=self.title, needs=self.needs, has=self._spelled(value), met=value >= self.least, remedy=self.remedy
        )

    def _spelled(self, value: float) -> str:
        return self.spell(value) + (f" {self.unit}" if self.unit else "")


_PART = 1000
"""More than any part of a version."""


def toolkit_number(text: str) -> float | None:
    """ "1.17.8" as a number to compare; None for what is no version."""
    found = re.match(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?!\d)", text)
    return None if found is None else (int(found[1]) * _PART + int(found[2])) * _PART + int(found[3])


def toolkit_version(number: float) -> str:
    """The version that ``toolkit_number`` made a number of."""
    rest, patch = divmod(int(number), _PART)
    return "{}.{}.{}".format(*divmod(rest, _PART), patch)


MINIMUMS = (
    Minimum(
        title="GPUs",
        unit="",
        least=1,
        of=lambda facts: facts.gpus,
        remedy="Put in an NVIDIA GPU and see that nvidia-smi lists it.",
    ),
    Minimum(
        title="Compute capability of each GPU",
        unit="",
        least=6.0,
        of=lambda facts: facts.compute_capability,
        remedy="Use GPUs from the GTX 10 series on: today's frameworks don't run on older ones.",
    ),
    Minimum(
        title="Memory of each GPU",
        unit="GB",
        least=3.9,
        of=lambda facts: facts.vram_mb / _MB_PER_GB,
        remedy="Take out GPUs with less memory; one that reports too little may be broken or used by a display.",
    ),
    Minimum(
        title="CUDA version of the driver",
        unit="",
        least=LEAST_CUDA,
        of=lambda facts: facts.cuda_version,
        remedy="Install a driver of version 525 or newer, for example with apt-get install nvidia-driver-535.",
    ),
    Minimum(
        title="NVIDIA container toolkit",
        unit="",
        least=1_017_008,
        of=lambda facts: facts.toolkit,
        spell=toolkit_version,
        remedy="Upgrade it, or run the install script again: guests can break out of containers with older ones.",
    ),
    Minimum(
        title="CPU cores for each GPU",
        unit="",
        least=2,
        of=lambda facts: facts.cpu_cores / max(facts.gpus, 1),
        remedy="List fewer GPUs on this machine, or put in a CPU with more cores.",
    ),
    Minimum(
        title="RAM for each GPU",
        unit="GB",
        least=3.9,
        of=lambda facts: facts.ram_mb / _MB_PER_GB / max(facts.gpus, 1),
        remedy="Put in more memory, at best as much as the GPUs have.",
    ),
    Minimum(
        title="Disk space for each GPU",
        unit="GB",
        least=30,
        of=lambda facts: facts.disk_gb / max(facts.gpus, 1),
        remedy="Free some space on the engine's disk, move its data root to a larger one, or raise --disk-gb.",
    ),
    Minimum(
        title="Disk bandwidth",
        unit="MB/s",
        least=100,
        of=lambda facts: facts.disk_mbps,
        remedy="Use an SSD; if the disk is faster than the agent thinks, state it with --disk-bandwidth.",
    ),
    Minimum(
        title="Download",
        unit="Mbit/s",
        least=10,
        of=lambda facts: facts.inet_down_mbps,
        remedy="Use a faster line or a cable; if the line is faster than the agent thinks, state it with --inet-down.",
    ),
    Minimum(
        title="Upload",
        unit="Mbit/s",
        least=5,
        of=lambda facts: facts.inet_up_mbps,
        remedy="Use a faster line or a cable; if the line is faster than the agent thinks, state it with --inet-up.",
    ),
    Minimum(
        title="Ports for each GPU",
        unit="",
        least=4,
        of=lambda facts: facts.ports / max(facts.gpus, 1),
        remedy="Give a larger range with --ports and forward it in the router.",
    ),
)


class GpuSaid(Protocol):
    """One GPU, as it travels and as it is kept."""

    @property
    def compute_capability(self) -> str: ...
    @property
    def vram_mb(self) -> int: ...


class MachineSaid(Protocol):
    """A machine, as it travels and as it is kept."""

    @property
    def cuda_version(self) -> str: ...
    @property
    def toolkit_version(self) -> str: ...
    @property
    def cpu_cores(self) -> int: ...
    @property
    def ram_mb(self) -> int: ...
    @property
    def disk_total_gb(self) -> int: ...
    @property
    def disk_bandwidth_mbps(self) -> float: ...
    @property
    def inet_down_mbps(self) -> float: ...
    @property
    def inet_up_mbps(self) -> float: ...
    @property
    def port_first(self) -> int: ...
    @property
    def port_last(self) -> int: ...


def facts_of(machine: MachineSaid, gpus: Sequence[GpuSaid]) -> Facts:
    """What is said of a machine and its usable GPUs."""
    return Facts(
        gpus=len(gpus),
        compute_capability=min((version_number(gpu.compute_capability) for gpu in gpus), default=0.0),
        vram_mb=min((gpu.vram_mb for gpu in gpus), default=0),
        cuda_version=version_number(machine.cuda_version),
        cpu_cores=machine.cpu_cores,
        ram_mb=machine.ram_mb,
        disk_gb=machine.disk_total_gb,
        disk_mbps=machine.disk_bandwidth_mbps,
        inet_down_mbps=machine.inet_down_mbps,
        inet_up_mbps=machine.inet_up_mbps,
        ports=machine.port_last - machine.port_first + 1,
        toolkit=toolkit_number(machine.toolkit_version),
    )


def check(facts: Facts) -> list[Requirement]:
    """All that this machine can be judged by, in the order of the list."""
    judged = (minimum.check(facts) for minimum in MINIMUMS)
    return [requirement for requirement in judged if requirement is not None]


def lacks(facts: Facts) -> list[Requirement]:
    """Those that the machine does not meet."""
    return [requirement for requirement in check(facts) if not requirement.met]


def version_number(text: str) -> float:
    """ "12.4" as 12.4, for comparing CUDA versions and compute capabilities; 0 for what is none.

    Minor versions of both have one digit.
    """
    try:
        return float(".".join(text.split(".")[:2]))
    except ValueError:
        return 0.0
