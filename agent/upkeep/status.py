"""How the agent is, in a file that ``spotyard-agent status`` reads: it works without the agent, too."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

FILE = "status.json"
STALE_SECONDS = 60.0
"""The agent writes more often than that while it lives."""


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True):
    task_id: int
    phase: str
    age_seconds: float
    message: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What was true when ``told_at`` (seconds since 1970, by this machine's clock)."""

    told_at: float
    pid: int
    version: str
    server: str
    machine_id: int | None = None
    simulated: bool = False
    connected: bool = False
    """The last request was answered."""
    last_sync_at: float | None = None
    problem: str = ""
    """Why the last request was not answered."""
    refused: str = ""
    """What the marketplace said when it refused this machine for good: the agent has ended."""
    engine_error: str = ""
    tasks: list[TaskStatus] = []
    jobs_running: int = 0
    pending_reports: int = 0
    """Ends of jobs and logs of containers that the marketplace does not have yet."""
    disk_free_gb: float = 0.0
    disk_total_gb: float = 0.0
    update: str = ""
    """What goes on about a newer version; empty for nothing."""


def read(directory: Path) -> Status | None:
    """What was told last; None where that is nothing that makes sense."""
    try:
        return msgspec.json.decode((directory / FILE).read_bytes(), type=Status)
    except (OSError, msgspec.DecodeError):
        return None


def write(directory: Path, status: Status) -> None:
    """Whole or not at all; that it outlives a loss of power does not matter. Raises ``OSError``."""
    scratch = directory / f".{FILE}.new"
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(status))
    scratch.replace(directory / FILE)


def is_alive(status: Status, now: float) -> bool:
    """Whether the process that told this is there and tells still. ``now`` in seconds since 1970."""
    return Path(f"/proc/{status.pid}").exists() and abs(now - status.told_at) < STALE_SECONDS


def as_json(status: Status, *, alive: bool) -> bytes:
    """For programs."""
    return msgspec.json.format(msgspec.json.encode({"alive": alive, **msgspec.to_builtins(status)}), indent=2)


def as_text(status: Status, *, alive: bool, now: float) -> Iterator[str]:
    """Lines for people."""
    yield f"Agent        {status.version}, {_life(status, alive, now)}"
    simulated = ", SIMULATED GPUs" if status.simulated else ""
    number = f"machine {status.machine_id}{simulated}" if status.machine_id else "not registered"
    yield f"Marketplace  {status.server}, {number}"
    yield f"Connection   {_connection(status, now)}"
    yield f"Engine       {status.engine_error or 'works'}"
    yield f"Disk         {status.disk_free_gb:.0f} of {status.disk_total_gb:.0f} GB free"
    yield f"Update       {status.update or 'none under way'}"
    yield f"To report    {status.pending_reports or 'nothing'}{' pending' if status.pending_reports else ''}"
    jobs = f", {status.jobs_running} jobs under way" if status.jobs_running else ""
    yield f"Tasks        {len(status.tasks) or 'none'}{jobs}"
    for task in status.tasks:
        since = _spelled(task.age_seconds + max(now - status.told_at, 0))
        message = f": {task.message}" if task.message else ""
        yield f"  {task.task_id:<10} {task.phase} for {since}{message}"


def _life(status: Status, alive: bool, now: float) -> str:
    if alive:
        return f"running as process {status.pid}"
    return f"NOT running; it last told of itself {_spelled(now - status.told_at)} ago"


def _connection(status: Status, now: float) -> str:
    if status.refused:
        return f"refused: {status.refused}"
    last = f"last answer {_spelled(now - status.last_sync_at)} ago" if status.last_sync_at else "no answer yet"
    return f"connected, {last}" if status.connected else f"NOT connected, {last}: {status.problem or 'no request yet'}"


def _spelled(seconds: float) -> str:
    whole = max(int(seconds), 0)
    for name, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if whole >= 2 * length:
            return f"{whole // length} {name}"
    return f"{whole} s"
