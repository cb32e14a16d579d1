"""How measurements are kept: fine ones for hours, joined to coarser ones for days, and to hours for a month."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from agent.telemetry_protocol import GpuFigures, MachineFigures, TaskFigures, Window, joined, joined_by_key
from hosting.domain.plausible import MOST_GPUS, plausible_figures

F = TypeVar("F", GpuFigures, MachineFigures, TaskFigures)

KEPT_FOR = timedelta(days=30)
LATEST_AGE = timedelta(days=3)
"""Older windows than this are not taken in: an agent that was away so long tells coarse ones anyway."""
MOST_AN_HOUR = 600
"""Windows that are taken in of a machine in an hour. A minute each, and what waited while the server was away, is half
of that at most."""


@dataclass(frozen=True)
class Level:
    """Windows of ``length`` are kept until they are ``until`` old, then joined to the next level's."""

    length: timedelta
    until: timedelta


LEVELS = (
    Level(timedelta(minutes=1), timedelta(hours=3)),
    Level(timedelta(minutes=5), timedelta(days=3)),
    Level(timedelta(hours=1), KEPT_FOR),
)
PERIODS = {
    "1h": (timedelta(hours=1), timedelta(minutes=1)),
    "24h": (timedelta(hours=24), timedelta(minutes=10)),
    "7d": (timedelta(days=7), timedelta(hours=1)),
    "30d": (timedelta(days=30), timedelta(hours=4)),
}
"""How far each chart goes back, and how much time one of its points stands for."""


class Content(msgspec.Struct, frozen=True, array_like=True):
    """What a stored window holds; GPUs and tasks by their ids here."""

    machine: MachineFigures
    gpus: dict[int, GpuFigures]
    tasks: dict[int, TaskFigures]
    task_gpus: dict[int, list[int]]


@dataclass(frozen=True)
class Stored:
    """A stretch of time and what was seen in it."""

    started_at: datetime
    ended_at: datetime
    content: Content


def packed(content: Content) -> bytes:
    """As it is stored: most figures are whole numbers, which take a fraction of a float's space."""
    return msgspec.msgpack.encode(_whole(msgspec.to_builtins(content)))


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {key: _whole(one) for key, one in value.items()}
    return value


def unpacked(data: bytes) -> Content | None:
    """None for what can't be read: one bad row must not take with it all that is shown beside it."""
    try:
        return msgspec.msgpack.decode(data, type=Content)
    except msgspec.DecodeError:
        return None


def content_of(window: Window, gpu_ids: dict[str, int], task_ids: frozenset[int]) -> Content:
    """A window as an agent tells it, without GPUs and tasks that are not the machine's and figures that can't be."""

    def sane(figures: F) -> F:
        return plausible_figures(figures, window.seconds)

    return Content(
        machine=sane(window.machine),
        gpus={gpu_ids[uuid]: sane(figures) for uuid, figures in window.gpus.items() if uuid in gpu_ids},
        tasks={key: sane(figures) for key, figures in window.tasks.items() if key in task_ids},
        task_gpus={key: _known(uuids, gpu_ids) for key, uuids in window.task_gpus.items() if key in task_ids},
    )


def _known(uuids: list[str], gpu_ids: dict[str, int]) -> list[int]:
    return [gpu_ids[uuid] for uuid in dict.fromkeys(uuids) if uuid in gpu_ids][:MOST_GPUS]


def span_of(window: Window, now: datetime) -> tuple[datetime, datetime] | None:
    """Beginning and end by the server's clock; None for what can't be or is too old."""
    if not (0 <= window.seconds <= LATEST_AGE.total_seconds() and window.age_seconds >= 0):
        return None
    if window.age_seconds + window.seconds > LATEST_AGE.total_seconds():
        return None
    ended = now - timedelta(seconds=window.age_seconds)
    return ended - timedelta(seconds=window.seconds), ended


def level_of(started_at: datetime, ended_at: datetime) -> int:
    """The finest level that has room for a window this long."""
    length = ended_at - started_at
    return next((number for number, level in enumerate(LEVELS) if length <= 2 * level.length), len(LEVELS) - 1)


def slot_start(moment: datetime, length: timedelta) -> datetime:
    """The beginning of the stretch of this length that a moment lies in; stretches begin with the day."""
    seconds = int(length.total_seconds())
    return datetime.fromtimestamp(int(moment.timestamp()) // seconds * seconds, UTC)


def together(contents: Sequence[Content]) -> Content:
    """All of them as one; the order matters only for which GPUs a task had last."""
    whole = contents[0]
    for other in contents[1:]:
        whole = Content(
            machine=joined(whole.machine, other.machine),
            gpus=joined_by_key(whole.gpus, other.gpus),
            tasks=joined_by_key(whole.tasks, other.tasks),
            task_gpus=whole.task_gpus | other.task_gpus,
        )
    return whole


def in_slots(windows: Iterable[Stored], length: timedelta) -> dict[datetime, Stored]:
    """Windows joined by the slot that their middle lies in, the oldest first."""
    members: dict[datetime, list[Stored]] = {}
    for window in sorted(windows, key=lambda one: one.started_at):
        middle = window.started_at + (window.ended_at - window.started_at) / 2
        members.setdefault(slot_start(middle, length), []).append(window)
    return {
        start: Stored(
            started_at=min(one.started_at for one in group),
            ended_at=max(one.ended_at for one in group),
            content=together([one.content for one in group]),
        )
        for start, group in sorted(members.items())
    }
