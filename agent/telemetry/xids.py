"""What NVIDIA's driver writes to the kernel's log when something goes wrong with a GPU ("Xid").

The log is read, not NVML's events: it has all errors since the machine booted, also those of a time when no agent ran,
and it asks nothing of a driver that may be in trouble.
"""

import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.telemetry_protocol import XidSeen

KERNEL_LOG = Path("/dev/kmsg")
_XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F]+(?::[0-9a-fA-F]+)+)(?:\.\d)?\): (\d+)")
_RECORD_BYTES = 8192
_MOST_RECORDS = 20_000
"""In one look: a log that is written faster than it is read must not hold up everything else."""


@dataclass
class _Count:
    count: int
    at: float
    """Seconds after boot."""


class XidLog:
    """Errors by the GPU's bus address. Belongs to one thread."""

    def __init__(self, log: Path = KERNEL_LOG) -> None:
        self._log = log
        self._descriptor: int | None = None
        self._seen: dict[tuple[int, ...], dict[int, _Count]] = {}

    def look(self) -> bool:
        """Read what is new; False where the log can't be read."""
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._log, os.O_RDONLY | os.O_NONBLOCK)
            self.take(_records(self._descriptor))
        except OSError:
            return False
        return True

    def take(self, records: Iterable[str]) -> None:
        """Count the errors in records of the log, each "level,number,microseconds since boot,…;text"."""
        for record in records:
            found = _XID.search(record)
            if found is not None:
                by_xid = self._seen.setdefault(_bus(found[1]), {})
                before = by_xid.get(int(found[2]))
                by_xid[int(found[2])] = _Count(before.count + 1 if before else 1, _seconds(record))

    def seen_by(self, pci_bus_id: str, now: float | None = None) -> list[XidSeen]:
        """Errors of the GPU at this address, whichever way it is written; ``now`` in seconds after boot."""
        moment = time.clock_gettime(time.CLOCK_BOOTTIME) if now is None else now
        counts = self._seen.get(_bus(pci_bus_id), {})
        return [
            XidSeen(xid=xid, count=count.count, age_seconds=max(0.0, moment - count.at))
            for xid, count in sorted(counts.items())
        ]


def _records(descriptor: int) -> Iterable[str]:
    for _ in range(_MOST_RECORDS):
        try:
            record = os.read(descriptor, _RECORD_BYTES)
        except BlockingIOError:
            return
        except BrokenPipeError:
            continue  # records were overwritten before they were read; the next one is the oldest there is
        if not record:
            return
        yield record.decode(errors="replace")


def _seconds(record: str) -> float:
    head = record.partition(";")[0].split(",")
    return int(head[2]) / 1e6 if len(head) > 2 and head[2].isdecimal() else 0.0


def _bus(address: str) -> tuple[int, ...]:
    """Domain, bus and device: the kernel and NVML write them with different numbers of zeros."""
    return tuple(int(part, 16) for part in address.partition(".")[0].split(":")[-3:])
