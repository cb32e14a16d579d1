"""The part of the wire schema that is about measurements: how machines, their GPUs and their tasks are doing.

It has an endpoint of its own, so that a reply costs the server no look at what the machine should do, and so that what
goes wrong with measurements stops nothing else. ``live`` is how it is now; ``windows`` are what was, a minute each in
smallest and greatest value and sum, repeated until the server has said that it has them. Sensors that a machine does
not have are None.
"""

from typing import Annotated, Literal, TypeVar

import msgspec

from agent.protocol import Message

TELEMETRY_PATH = "/api/agent/v1/telemetry"
MOST_WINDOWS = 20
"""In one request."""

Whole = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Number = Annotated[float, msgspec.Meta(ge=-1e18, le=1e18)]
Counter = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Name = Annotated[str, msgspec.Meta(max_length=64, pattern="^[ -~]*$")]
Throttle = Literal["heat", "power", "hardware", "other"]


class XidSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An error that NVIDIA's driver wrote to the kernel's log since the machine booted."""

    xid: Whole
    count: Whole
    age_seconds: Number
    """Since it was written last."""


class GpuReading(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU at one moment."""

    uuid: str
    lost: bool = False
    """The driver lists it, but it does not answer any more."""
    utilization_percent: Number | None = None
    memory_used_mb: Whole | None = None
    memory_total_mb: Whole | None = None
    temperature_c: Whole | None = None
    power_w: Number | None = None
    power_limit_w: Number | None = None
    fan_percent: Whole | None = None
    pcie_lanes: Whole | None = None
    """The most that this GPU can have in its slot."""
    ecc_corrected: Whole | None = None
    """Errors of its memory since the driver was loaded; None without error correction."""
    ecc_uncorrected: Whole | None = None
    throttle: list[Throttle] = []
    """Why its clocks are held down."""
    xids: list[XidSeen] | None = None
    """None where the kernel's log can't be read."""


class MachineReading(msgspec.Struct, frozen=True, kw_only=True):
    """The machine around the GPUs. Network: all interfaces to the outside together."""

    cpu_percent: Number | None = None
    """Of all its cores."""
    ram_used_mb: Whole | None = None
    disk_used_gb: Number | None = None
    disk_free_gb: Number | None = None
    net_rx_bytes_per_s: Number | None = None
    net_tx_bytes_per_s: Number | None = None


class TaskReading(msgspec.Struct, frozen=True, kw_only=True):
    """The container of a running task."""

    task_id: Counter
    gpu_uuids: list[str]
    cpu_percent: Number | None = None
    """Of the cores that it may use."""
    ram_used_mb: Whole | None = None
    ram_limit_mb: Whole | None = None
    disk_used_mb: Whole | None = None
    net_rx_bytes_per_s: Number | None = None
    net_tx_bytes_per_s: Number | None = None


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """How all is now."""

    number: Counter
    """Counts up in a session: a lower one is older."""
    boot_id: Name
    """Of the machine's present boot, as its kernel calls it."""
    gpus: list[GpuReading]
    machine: MachineReading
    tasks: list[TaskReading]
    driver_error: str = ""
    """Why no GPU could be asked, in plain words."""


class Stat(msgspec.Struct, frozen=True, array_like=True):
    """What was seen of one quantity."""

    least: Number
    most: Number
    total: Number
    count: Counter

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0


class GpuFigures(msgspec.Struct, frozen=True, array_like=True):
    """A GPU in a window. Of errors each look tells how many are new since the one before; older agents tell none."""

    utilization_percent: Stat | None = None
    memory_used_mb: Stat | None = None
    temperature_c: Stat | None = None
    power_w: Stat | None = None
    new_ecc_corrected: Stat | None = None
    new_ecc_uncorrected: Stat | None = None
    new_xids: Stat | None = None
    """Of whatever number."""


class MachineFigures(msgspec.Struct, frozen=True, array_like=True):
    """A machine in a window."""

    cpu_percent: Stat | None = None
    ram_used_mb: Stat | None = None
    disk_used_gb: Stat | None = None
    net_rx_bytes_per_s: Stat | None = None
    net_tx_bytes_per_s: Stat | None = None


class TaskFigures(msgspec.Struct, frozen=True, array_like=True):
    """A task's container in a window."""

    cpu_percent: Stat | None = None
    ram_used_mb: Stat | None = None
    disk_used_mb: Stat | None = None
    net_rx_bytes_per_s: Stat | None = None
    net_tx_bytes_per_s: Stat | None = None


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen from ``age_seconds`` + ``seconds`` ago until ``age_seconds`` ago."""

    number: Counter
    """Counts up in a session. Of joined windows, the highest of theirs."""
    age_seconds: Number
    seconds: Number
    machine: MachineFigures
    gpus: dict[str, GpuFigures]
    """By UUID."""
    tasks: dict[int, TaskFigures]
    task_gpus: dict[int, list[str]]
    """Which GPUs each task had at the end."""


class TelemetryRequest(Message, frozen=True):
    """Everything in it may arrive twice, or late."""

    session_id: Name
    """New at each start of the agent."""
    live: Live | None = None
    windows: list[Window] = []
    """The oldest first; MOST_WINDOWS at most."""


class TelemetryReply(Message, frozen=True):
    received: int
    """The server has the windows of this session up to this number; -1 for none."""


F = TypeVar("F", GpuFigures, MachineFigures, TaskFigures)
K = TypeVar("K", int, str)


def stat(value: float | None) -> Stat | None:
    """Of a single look."""
    return None if value is None else Stat(value, value, value, 1)


def joined_stat(one: Stat | None, other: Stat | None) -> Stat | None:
    """Both together. In whatever order windows are joined, the result is the same."""
    if one is None or other is None:
        return one or other
    return Stat(
        min(one.least, other.least), max(one.most, other.most), one.total + other.total, one.count + other.count
    )


def joined(one: F, other: F) -> F:
    """The figures of two windows of the same thing together."""
    return type(one)(*(joined_stat(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__))


def joined_by_key(one: dict[K, F], other: dict[K, F]) -> dict[K, F]:
    """The figures of two windows, for things that may be in one of them alone."""
    return one | {key: joined(one[key], figures) if key in one else figures for key, figures in other.items()}
