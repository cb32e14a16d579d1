"""What was measured and the server does not have yet, joined to windows; bounded, however long the server is away."""

import threading
from dataclasses import dataclass, field

from agent.telemetry.errors import ErrorCounts, NewErrors
from agent.telemetry_protocol import (
    MOST_WINDOWS,
    GpuFigures,
    GpuReading,
    Live,
    MachineFigures,
    MachineReading,
    TaskFigures,
    TaskReading,
    Window,
    joined,
    joined_by_key,
    stat,
)

WINDOW_SECONDS = 60.0
MOST_KEPT = 240
"""Windows that wait for the server. What would be more is joined in pairs: the longer it is away, the coarser."""


@dataclass
class _Span:
    """A window by this machine's monotonic clock."""

    number: int
    began: float
    ended: float
    machine: MachineFigures
    gpus: dict[str, GpuFigures]
    tasks: dict[int, TaskFigures]
    task_gpus: dict[int, list[str]]

    def with_later(self, later: "_Span") -> "_Span":
        return _Span(
            number=later.number,
            began=self.began,
            ended=later.ended,
            machine=joined(self.machine, later.machine),
            gpus=joined_by_key(self.gpus, later.gpus),
            tasks=joined_by_key(self.tasks, later.tasks),
            task_gpus=self.task_gpus | later.task_gpus,
        )


@dataclass
class Backlog:
    """Any thread may call it."""

    most_kept: int = MOST_KEPT
    _open: _Span | None = None
    _closed: list[_Span] = field(default_factory=list)
    _numbers: int = 0
    _errors: ErrorCounts = field(default_factory=ErrorCounts)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, live: Live, now: float) -> None:
        """Take in a look at ``now``, of a clock that never goes back."""
        with self._lock:
            gpus = {gpu.uuid: _gpu(gpu, self._errors.news(gpu)) for gpu in live.gpus}
            if self._open is not None and now - self._open.began >= WINDOW_SECONDS:
                self._closed.append(self._open)
                self._open = None
                if len(self._closed) > self.most_kept:
                    self._closed = _thinned(self._closed)
            if self._open is None:
                self._open = _span(live, gpus, now, now, self._numbers)
                self._numbers += 1
            else:
                self._open = self._open.with_later(_span(live, gpus, self._open.began, now, self._open.number))

    def due(self, now: float) -> list[Window]:
        """The oldest windows that the server does not have."""
        with self._lock:
            return [_window(span, now) for span in self._closed[:MOST_WINDOWS]]

    def received(self, number: int) -> None:
        """The server has everything up to this number."""
        with self._lock:
            self._closed = [span for span in self._closed if span.number > number]


def _thinned(spans: list[_Span]) -> list[_Span]:
    """Neighbours joined, but for the newest half, which stays fine."""
    half = len(spans) // 2 // 2 * 2
    return [first.with_later(second) for first, second in zip(spans[:half:2], spans[1:half:2], strict=True)] + spans[
        half:
    ]


def _span(live: Live, gpus: dict[str, GpuFigures], began: float, ended: float, number: int) -> _Span:
    return _Span(
        number=number,
        began=began,
        ended=ended,
        machine=_machine(live.machine),
        gpus=gpus,
        tasks={task.task_id: _task(task) for task in live.tasks},
        task_gpus={task.task_id: task.gpu_uuids for task in live.tasks},
    )


def _window(span: _Span, now: float) -> Window:
    return Window(
        number=span.number,
        age_seconds=max(0.0, now - span.ended),
        seconds=span.ended - span.began,
        machine=span.machine,
        gpus=span.gpus,
        tasks=span.tasks,
        task_gpus=span.task_gpus,
    )


def _machine(reading: MachineReading) -> MachineFigures:
    return MachineFigures(*(stat(getattr(reading, name)) for name in MachineFigures.__struct_fields__))


def _gpu(reading: GpuReading, news: NewErrors) -> GpuFigures:
    """One that fell off the bus has no figures any more, but the error that says so."""
    seen = GpuReading(uuid=reading.uuid) if reading.lost else reading
    return GpuFigures(
        utilization_percent=stat(seen.utilization_percent),
        memory_used_mb=stat(seen.memory_used_mb),
        temperature_c=stat(seen.temperature_c),
        power_w=stat(seen.power_w),
        new_ecc_corrected=stat(news.ecc_corrected),
        new_ecc_uncorrected=stat(news.ecc_uncorrected),
        new_xids=stat(news.xids),
    )


def _task(reading: TaskReading) -> TaskFigures:
    return TaskFigures(*(stat(getattr(reading, name)) for name in TaskFigures.__struct_fields__))
