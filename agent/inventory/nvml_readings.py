"""How the GPUs are, as NVIDIA's driver tells it. NVML is open while this is called."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pynvml

from agent.telemetry.xids import XidLog
from agent.telemetry_protocol import GpuReading, Throttle, XidSeen

T = TypeVar("T")

_MB = 1 << 20
_MILLI = 1000
_HEAT = 0x20 | 0x40
_POWER = 0x4
_HARDWARE = 0x8 | 0x80
_HARMLESS = 0x1 | 0x2 | 0x100
"""Idle, clocks that the host set, and clocks for its display."""


@dataclass(frozen=True)
class _Known:
    uuid: str
    pci_bus_id: str


class NvmlReadings:
    """Remembers who is who, because a GPU that fell off the bus does not tell its name."""

    def __init__(self, log: XidLog | None = None) -> None:
        self._log = log or XidLog()
        self._known: dict[int, _Known] = {}

    def read(self) -> list[GpuReading]:
        """All GPUs that are there, or were."""
        has_log = self._log.look()
        count = int(pynvml.nvmlDeviceGetCount())
        indices = sorted({*range(count), *self._known})
        return [reading for index in indices if (reading := self._one(index, has_log)) is not None]

    def _one(self, index: int, has_log: bool) -> GpuReading | None:
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            who = _Known(_text(pynvml.nvmlDeviceGetUUID(handle)), _text(pynvml.nvmlDeviceGetPciInfo(handle).busId))
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        except pynvml.NVMLError as error:
            known, is_lost = self._known.get(index), error.value == pynvml.NVML_ERROR_GPU_IS_LOST
            if known is None or not is_lost:
                return None  # while it is being reset, say; one that stays away is missed by the server
            return GpuReading(uuid=known.uuid, lost=True, xids=self._xids(known, has_log))
        self._forget_elsewhere(index, who)
        return _reading(handle, who, memory, self._xids(who, has_log))

    def _forget_elsewhere(self, index: int, who: _Known) -> None:
        """Indices move up when a GPU is taken out; one GPU is told of once."""
        self._known = {key: known for key, known in self._known.items() if known.uuid != who.uuid}
        self._known[index] = who

    def _xids(self, who: _Known, has_log: bool) -> list[XidSeen] | None:
        return self._log.seen_by(who.pci_bus_id) if has_log else None


def _reading(handle: Any, who: _Known, memory: Any, xids: list[XidSeen] | None) -> GpuReading:
    power_mw = _or_none(lambda: int(pynvml.nvmlDeviceGetPowerUsage(handle)))
    limit_mw = _or_none(lambda: int(pynvml.nvmlDeviceGetPowerManagementLimit(handle)))
    return GpuReading(
        uuid=who.uuid,
        utilization_percent=_or_none(lambda: float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
        memory_used_mb=int(memory.used) // _MB,
        memory_total_mb=int(memory.total) // _MB,
        temperature_c=_or_none(lambda: int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))),
        power_w=None if power_mw is None else power_mw / _MILLI,
        power_limit_w=None if limit_mw is None else limit_mw / _MILLI,
        fan_percent=_or_none(lambda: int(pynvml.nvmlDeviceGetFanSpeed(handle))),
        pcie_lanes=_or_none(lambda: int(pynvml.nvmlDeviceGetMaxPcieLinkWidth(handle))),
        ecc_corrected=_ecc(handle, pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
        ecc_uncorrected=_ecc(handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
        throttle=throttles(_or_none(lambda: int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))) or 0),
        xids=xids,
    )


def _ecc(handle: Any, kind: int) -> int | None:
    """Since the driver was loaded."""
    return _or_none(lambda: int(pynvml.nvmlDeviceGetTotalEccErrors(handle, kind, pynvml.NVML_VOLATILE_ECC)))


def throttles(reasons: int) -> list[Throttle]:
    """NVML's bits in words."""
    found: list[Throttle] = []
    if reasons & _HEAT:
        found.append("heat")
    if reasons & _POWER:
        found.append("power")
    if reasons & _HARDWARE:
        found.append("hardware")
    if reasons & ~(_HEAT | _POWER | _HARDWARE | _HARMLESS):
        found.append("other")
    return found


def _or_none(read: Callable[[], T]) -> T | None:
    """None where this GPU or driver does not support the question."""
    try:
        return read()
    except (pynvml.NVMLError, AttributeError):
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
