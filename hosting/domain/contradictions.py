"""Facts about a machine that can't all be true: what the driver says, what the catalogue knows, what was measured."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hosting.domain.findings import Finding

DRIVER_FACTS, MEASURED_OTHERWISE, SAME_HARDWARE = "driver_facts", "measured_otherwise", "same_hardware"

OLDEST_DRIVERS = {11: 450, 12: 525, 13: 580}
"""By major CUDA version, the oldest driver series that supports it (NVIDIA, CUDA Toolkit release notes, table 2)."""
OLDEST_CUDA = {(8, 0): (11, 0), (8, 6): (11, 1), (8, 9): (11, 8), (9, 0): (11, 8), (10, 0): (12, 8), (12, 0): (12, 8)}
"""By compute capability, the first CUDA version that knows it (NVIDIA, CUDA GPU architectures)."""
SPECIFICATION_TOLERANCE = 0.25
MEMORY_TOLERANCE = 0.1
IMPOSSIBLE = 1.1
"""More than this part of what the driver says can't have been measured."""
MISSING = 0.5
"""Less than this part should not have been."""


@dataclass(frozen=True, kw_only=True)
class GpuSaid:
    """What the driver says of a GPU; and, as ``known_``, the catalogue, where it has the model."""

    uuid: str
    model: str
    vram_mb: float
    compute_capability: str
    memory_bandwidth_gbps: float
    fp32_tflops: float
    pci_bus_id: str = ""
    known_vram_gb: float | None = None
    known_capability: str = ""
    known_fp32_tflops: float | None = None


@dataclass(frozen=True, kw_only=True)
class MachineSaid:
    """What an agent says of its machine."""

    machine_id: int
    gpus: tuple[GpuSaid, ...]
    driver_version: str
    cuda_version: str
    public_address: str
    computer: tuple[object, ...]
    """Host name, board, processor, memory, disk: what two different computers rarely have all in common."""


def driver_findings(said: MachineSaid) -> Iterator[Finding]:
    """What the driver says that contradicts itself, or the model that it names."""
    cuda, driver = _version(said.cuda_version), _version(said.driver_version)
    oldest = OLDEST_DRIVERS.get(cuda[0])
    if oldest is not None and driver[0] < oldest:
        words = f"The driver is said to be {said.driver_version} and to support CUDA {said.cuda_version}"
        yield Finding(DRIVER_FACTS, f"{words}, which needs {oldest} or later.")
    for gpu in said.gpus:
        first = OLDEST_CUDA.get(_version(gpu.compute_capability))
        if first is not None and cuda < first:
            words = f"{gpu.model} is said to have compute capability {gpu.compute_capability}"
            yield Finding(DRIVER_FACTS, f"{words}, which CUDA {said.cuda_version} does not know.")
        yield from _model_findings(gpu)


def _model_findings(gpu: GpuSaid) -> Iterator[Finding]:
    if gpu.known_capability and gpu.known_capability != gpu.compute_capability:
        yield _unlike(gpu, "compute capability", gpu.compute_capability, gpu.known_capability)
    if gpu.known_vram_gb is not None and not _near(gpu.vram_mb / 1024, gpu.known_vram_gb, MEMORY_TOLERANCE):
        yield _unlike(gpu, "memory in GB", f"{gpu.vram_mb / 1024:.1f}", f"{gpu.known_vram_gb:g}")
    if gpu.known_fp32_tflops is not None and not _near(gpu.fp32_tflops, gpu.known_fp32_tflops, SPECIFICATION_TOLERANCE):
        yield _unlike(gpu, "single-precision TFLOPS", f"{gpu.fp32_tflops:.1f}", f"{gpu.known_fp32_tflops:.1f}")


def _unlike(gpu: GpuSaid, what: str, said: str, known: str) -> Finding:
    return Finding(
        DRIVER_FACTS, f"GPU {gpu.uuid} is said to be {gpu.model}, with {what} {said}; that model has {known}."
    )


def _near(value: float, known: float, tolerance: float) -> bool:
    return abs(value - known) <= known * tolerance


def measured_findings(
    said: MachineSaid, measured: Mapping[str, float | None], *, gpus_seen: Iterable[str]
) -> Iterator[Finding]:
    """Where the benchmark measured what the driver's facts make impossible or unlikely.

    ``measured`` are medians: memory_bandwidth_gbps and gemm_fp32_tflops; ``gpus_seen`` the UUIDs that the program saw,
    empty ones where its torch tells none.
    """
    strange = {uuid for uuid in gpus_seen if uuid} - {gpu.uuid for gpu in said.gpus}
    if strange:
        yield Finding(MEASURED_OTHERWISE, f"The benchmark ran on a GPU that the driver does not list: {min(strange)}.")
    gpu = said.gpus[0]
    claims = {"memory_bandwidth_gbps": gpu.memory_bandwidth_gbps, "fp32_tflops": gpu.fp32_tflops}
    names = {"memory_bandwidth_gbps": ("memory_bandwidth_gbps", "GB/s"), "fp32_tflops": ("gemm_fp32_tflops", "TFLOPS")}
    for claim, value in claims.items():
        name, unit = names[claim]
        found = measured.get(name)
        if found is not None and value > 0 and not MISSING * value <= found <= IMPOSSIBLE * value:
            words = f"The driver's facts come to {value:.1f} {unit}; {found:.1f} were measured"
            yield Finding(MEASURED_OTHERWISE, f"{words}.")


def same_hardware_finding(said: MachineSaid, others: Iterable[MachineSaid]) -> Finding | None:
    """Whether another machine looks like the same computer, registered a second time with other numbers."""
    for other in others:
        alike = (
            other.machine_id != said.machine_id
            and other.public_address == said.public_address
            and other.computer == said.computer
            and _slots(other) == _slots(said)
        )
        if alike:
            evidence = (
                f"Machine {other.machine_id} has the same address, name, board, processor, memory, disk and slots."
            )
            return Finding(SAME_HARDWARE, evidence)
    return None


def _slots(said: MachineSaid) -> list[tuple[str, str]]:
    return sorted((gpu.pci_bus_id, gpu.model) for gpu in said.gpus)


def _version(text: str) -> tuple[int, int]:
    """The first two numbers of "12.8" or "550.54.15"; what is none counts as 0."""
    major, _, rest = text.partition(".")
    minor = rest.partition(".")[0]
    return (_number(major), _number(minor))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0
