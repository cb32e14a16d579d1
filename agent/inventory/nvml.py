"""GPUs as NVIDIA's driver reports them, through NVML."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pynvml

from agent.inventory.catalogue import GpuModel, canonical
from agent.inventory.nvml_readings import NvmlReadings
from agent.inventory.sources import Driver, InventoryError
from agent.protocol import GpuFacts
from agent.telemetry_protocol import GpuReading

T = TypeVar("T")

_MB = 1 << 20
_TRANSFERS_PER_CLOCK = 2
_DEFAULT_MAX_TEMPERATURE_C = 90
_NO_DRIVER = (
    "No NVIDIA driver was found on this machine. Install it (nvidia-smi must work), or try the agent without GPUs with "
    '--simulate "1x RTX 3090".'
)


class NvmlSource:
    """The real GPUs. NVML is opened for each look, so a driver that comes or goes is noticed."""

    simulated = False

    def __init__(self) -> None:
        self._readings = NvmlReadings()

    def gpus(self) -> list[GpuFacts]:
        with _nvml():
            found = [_gpu(index) for index in range(int(pynvml.nvmlDeviceGetCount()))]
        if not found:
            raise InventoryError("The NVIDIA driver works but reports no GPU.")
        return found

    def driver(self) -> Driver:
        with _nvml():
            cuda = int(pynvml.nvmlSystemGetCudaDriverVersion())
            return Driver(
                driver_version=_text(pynvml.nvmlSystemGetDriverVersion()),
                cuda_version=f"{cuda // 1000}.{cuda % 1000 // 10}",
            )

    def readings(self, busy: Collection[str]) -> list[GpuReading]:
        del busy  # the driver knows how much they do
        with _nvml():
            return self._readings.read()


@contextmanager
def _nvml() -> Iterator[None]:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise InventoryError(f"{_NO_DRIVER} ({error})") from error
    try:
        yield
    except pynvml.NVMLError as error:
        raise InventoryError(f"The NVIDIA driver does not answer properly: {error}") from error
    finally:
        pynvml.nvmlShutdown()


def _gpu(index: int) -> GpuFacts:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    vram_mb = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total) // _MB
    known = canonical(_text(pynvml.nvmlDeviceGetName(handle)), vram_mb)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return GpuFacts(
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        index=index,
        model=known.model if isinstance(known, GpuModel) else known,
        vram_mb=vram_mb,
        compute_capability=f"{major}.{minor}",
        pci_bus_id=_text(pynvml.nvmlDeviceGetPciInfo(handle).busId),
        pcie_gen=_or(lambda: int(pynvml.nvmlDeviceGetMaxPcieLinkGeneration(handle)), 0),
        pcie_lanes=_or(lambda: int(pynvml.nvmlDeviceGetMaxPcieLinkWidth(handle)), 0),
        power_limit_w=_or(lambda: int(pynvml.nvmlDeviceGetPowerManagementLimit(handle)) // 1000, 0),
        max_temperature_c=_or(lambda: _slowdown_temperature(handle), _DEFAULT_MAX_TEMPERATURE_C),
        memory_bandwidth_gbps=_or(lambda: _memory_bandwidth(handle), _stated(known, "memory_bandwidth_gbps")),
        fp32_tflops=_stated(known, "fp32_tflops") or _or(lambda: _peak_tflops(handle), 0.0),
        display_active=_or(lambda: bool(pynvml.nvmlDeviceGetDisplayActive(handle)), False),
    )


def _slowdown_temperature(handle: Any) -> int:
    return int(pynvml.nvmlDeviceGetTemperatureThreshold(handle, pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN))


def _memory_bandwidth(handle: Any) -> float:
    """Clock times bus width, two transfers a clock, in GB/s."""
    clock_mhz = int(pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_MEM))
    bus_bits = int(pynvml.nvmlDeviceGetMemoryBusWidth(handle))
    return round(clock_mhz * 1e6 * _TRANSFERS_PER_CLOCK * bus_bits / 8 / 1e9, 1)


def _peak_tflops(handle: Any) -> float:
    """Two operations a core and clock, for models whose rated boost clock is not in the catalogue."""
    cores = int(pynvml.nvmlDeviceGetNumGpuCores(handle))
    clock_mhz = int(pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM))
    return round(cores * clock_mhz * 2 / 1e6, 2)


def _stated(known: GpuModel | str, field: str) -> float:
    return float(getattr(known, field)) if isinstance(known, GpuModel) else 0.0


def _or(read: Callable[[], T], otherwise: T) -> T:
    """What ``read`` gives, or ``otherwise`` where this GPU or driver does not support the question."""
    try:
        return read()
    except pynvml.NVMLError:
        return otherwise


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
