"""How machines that do not exist are: plausible figures that follow from the time and from who uses the GPUs.

Pages say of each such machine that it is simulated. Only its containers are real, and so are their figures.
"""

import math
import zlib

from agent.inventory.sources import HostFacts
from agent.protocol import GpuFacts
from agent.telemetry_protocol import GpuReading, MachineReading, XidSeen

_SLOW_SECONDS = 900.0
_FAST_SECONDS = 97.0
_IDLE_C = 34.0
_BUSY_C = 71.0
_IDLE_POWER_SHARE = 0.08
_BUSY_POWER_SHARE = 0.82
_CUDA_CONTEXT_MB = 350
_DAY_SECONDS = 86_400.0
_MONTH_SECONDS = 30 * _DAY_SECONDS
_XID_SECONDS = 20 * 3600.0
_PROGRAM_XID = 31
"""A program used memory that it does not have."""
_WITH_ECC = ("H100", "H200", "B200", "A100", "A40", "A30", "A10", "L40", "L4", "V100", "P100", "P40", "T4", "A6000")


def gpu(facts: GpuFacts, now: float, *, busy: bool) -> GpuReading:
    """``now`` in seconds since 1970."""
    slow, fast = _wave(facts.uuid, now, _SLOW_SECONDS), _wave(facts.uuid, now, _FAST_SECONDS)
    load = 0.86 + 0.08 * slow + 0.06 * fast if busy else 0.0
    warmth = _BUSY_C + 5 * slow if busy else _IDLE_C + 2 * slow
    power_share = _BUSY_POWER_SHARE + 0.1 * fast if busy else _IDLE_POWER_SHARE
    used_mb = int(facts.vram_mb * (0.62 + 0.12 * slow)) if busy else min(_CUDA_CONTEXT_MB, facts.vram_mb)
    return GpuReading(
        uuid=facts.uuid,
        utilization_percent=float(round(100 * load)),
        memory_used_mb=used_mb,
        memory_total_mb=facts.vram_mb,
        temperature_c=round(warmth),
        power_w=round(facts.power_limit_w * power_share, 1),
        power_limit_w=float(facts.power_limit_w),
        fan_percent=round(52 + 14 * slow) if busy else 30,
        pcie_lanes=facts.pcie_lanes,
        ecc_corrected=_corrected(facts, now),
        ecc_uncorrected=0 if _has_ecc(facts) else None,
        xids=_xids(facts, now),
    )


def _has_ecc(facts: GpuFacts) -> bool:
    return any(word in facts.model for word in _WITH_ECC)


def _corrected(facts: GpuFacts, now: float) -> int | None:
    """One every day or few since the driver was loaded, which was some time in the last month."""
    if not _has_ecc(facts):
        return None
    return int(now % _MONTH_SECONDS / (_DAY_SECONDS * (1 + _draw(facts.uuid) % 5)))


def _xids(facts: GpuFacts, now: float) -> list[XidSeen]:
    """On one GPU of six programs go wrong now and then, which harms nothing."""
    count = 0 if _draw(facts.uuid) % 6 else int(now % _MONTH_SECONDS / _XID_SECONDS)
    return [XidSeen(xid=_PROGRAM_XID, count=count, age_seconds=now % _XID_SECONDS)] if count else []


def _draw(name: str) -> int:
    """Always the same for a name, and different for others."""
    return zlib.crc32(name.encode())


def machine(facts: HostFacts, now: float, *, busy_share: float) -> MachineReading:
    """``busy_share`` of its GPUs have a container."""
    slow, fast = _wave(facts.hostname, now, _SLOW_SECONDS), _wave(facts.hostname, now, _FAST_SECONDS)
    used_gb = facts.disk_total_gb * (0.12 + 0.3 * busy_share)
    return MachineReading(
        cpu_percent=round(3 + 1.5 * fast + busy_share * (38 + 9 * slow), 1),
        ram_used_mb=int(facts.ram_mb * (0.06 + busy_share * (0.4 + 0.05 * slow))),
        disk_used_gb=round(used_gb, 1),
        disk_free_gb=round(facts.disk_total_gb - used_gb, 1),
        net_rx_bytes_per_s=round((1 + busy_share * 40 * (1 + slow)) * facts.inet_down_mbps * 1e6 / 8 / 100),
        net_tx_bytes_per_s=round((1 + busy_share * 12 * (1 + fast)) * facts.inet_up_mbps * 1e6 / 8 / 100),
    )


def _wave(name: str, now: float, period_seconds: float) -> float:
    """-1 to 1, each thing at its own point of the wave."""
    phase = _draw(name) % 1000 / 1000
    return math.sin(2 * math.pi * (now / period_seconds + phase))
