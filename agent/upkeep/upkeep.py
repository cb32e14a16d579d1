"""Puts status, watchdog and updater of one machine's agent together."""

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from agent import __version__
from agent.job_protocol import JobReport
from agent.logs import say
from agent.protocol import AgentRelease, ObservedTask, SyncReply, UpdateFailure
from agent.server import RefusedError, ServerClient
from agent.upkeep import status, systemd
from agent.upkeep.status import Status, TaskStatus
from agent.upkeep.updater import Place, Updater, place_of_this

_log = logging.getLogger(__name__)

_WRITE_SECONDS = 10.0
_GATHER_SECONDS = 0.5
_PASSING = ("pulling", "creating", "starting", "stopping")
_WATCHED_SECONDS = 10.0
"""So often at least systemd hears that something is waited for."""
_UPDATE_SECONDS = 600.0
"""How long an agent that is too old for the marketplace is given to replace itself, before it ends."""


class Jobs(Protocol):
    """Of ``agent.jobs.runner.JobRunner``."""

    def reports(self) -> list[JobReport]: ...


class Tasks(Protocol):
    """Of ``agent.tasks.reconciler.Reconciler``."""

    def observed(self) -> list[ObservedTask]: ...


class Logs(Protocol):
    """Of ``agent.kept_logs.KeptLogs``."""

    def pending(self) -> int: ...


@dataclass(frozen=True)
class Work:
    """What the agent is busy with in a session."""

    machine_id: int
    simulated: bool
    tasks: Tasks
    jobs: Jobs
    logs: Logs
    engine_error: Callable[[], str | None]
    data_root: Path
    tidy: Callable[[], None] = lambda: None
    """Called every few seconds; does not take long."""


class Upkeep:
    """``restart`` ends the agent so that the launcher starts it again. ``place`` is where it may replace itself."""

    def __init__(
        self,
        directory: Path,
        server: str,
        *,
        client: Callable[[], ServerClient],
        restart: Callable[[], None],
        place: Place | None = None,
    ) -> None:
        self._directory = directory
        self._told = Status(told_at=0.0, pid=os.getpid(), version=__version__, server=server)
        self._work: Work | None = None
        self._changed = threading.Event()
        self._writing = threading.Lock()
        self._ending = threading.Event()
        self._worked_at = time.monotonic()
        self._watchdog = systemd.Watchdog(lambda: time.monotonic() - self._worked_at, systemd.watchdog_seconds())
        place = place or place_of_this()
        self._updater = place and Updater(
            place, fetch=lambda url: client().fetch(url, "", 0), is_quiet=self.is_quiet, restart=restart
        )

    def start(self) -> None:
        """Go on in daemon threads."""
        systemd.notify("READY=1")
        self._watchdog.start()
        threading.Thread(target=self._write_for_ever, name="status", daemon=True).start()

    def begin(self, work: Work) -> None:
        """A session begins."""
        self._work = work
        self._note(machine_id=work.machine_id, simulated=work.simulated)

    def works(self) -> None:
        """The agent is about to speak with the marketplace: it lives."""
        self._worked_at = time.monotonic()

    def answered(self, reply: SyncReply) -> None:
        """The marketplace answered."""
        self._note(connected=True, last_sync_at=time.time(), problem="")
        if self._updater:
            self._updater.answered()
            self._updater.want(reply.agent)

    def away(self, why: str) -> None:
        """The marketplace did not answer."""
        self._note(connected=False, problem=why)

    def refused(self, refusal: RefusedError) -> None:
        """The marketplace said no for good. Where the agent is too old, it first tries to become the one that is
        offered; ``restart`` has been called then."""
        self._note(connected=False, problem=refusal.msg)
        if self._updater and refusal.release is not None:
            self._become(self._updater, refusal.release)
        self._told = msgspec.structs.replace(self._told, refused=f"{refusal.msg} ({refusal.error})")
        self.write()

    def _become(self, updater: Updater, release: AgentRelease) -> None:
        say(_log, "too_old", level=logging.WARNING, version=__version__, wanted=release.version)
        updater.want(release)
        deadline = time.monotonic() + _UPDATE_SECONDS
        while not updater.wait(_WATCHED_SECONDS) and time.monotonic() < deadline:
            self.works()
        # Where that brought nothing, systemd starts this one again: not as if it were urgent.
        while not self._ending.is_set() and time.monotonic() < deadline:
            self.works()
            self._ending.wait(_WATCHED_SECONDS)

    def failure(self) -> UpdateFailure | None:
        """The version that was given up last."""
        return self._updater.failure() if self._updater else None

    def is_quiet(self) -> bool:
        """Whether a restart would interrupt nothing: no task on its way from one state to another, and no job."""
        work = self._work
        if work is None:
            return True
        moving = any(task.phase in _PASSING for task in work.tasks.observed())
        return not moving and all(report.state != "running" for report in work.jobs.reports())

    def stop(self) -> None:
        """The agent ends."""
        systemd.notify("STOPPING=1")
        self._ending.set()
        self._changed.set()
        self._watchdog.stop()
        if self._updater:
            self._updater.stop()

    def write(self) -> None:
        """Tell how the agent is, now. A full disk keeps it from nothing."""
        try:
            with self._writing:
                status.write(self._directory, self._present())
        except OSError as error:
            say(_log, "status_not_written", level=logging.WARNING, why=error)

    def _note(self, **facts: object) -> None:
        self._told = msgspec.structs.replace(self._told, **facts)
        self._changed.set()

    def _present(self) -> Status:
        told = msgspec.structs.replace(
            self._told, told_at=time.time(), update=self._updater.told if self._updater else ""
        )
        work = self._work
        if work is None:
            return told
        reports = work.jobs.reports()
        disk = shutil.disk_usage(work.data_root)
        return msgspec.structs.replace(
            told,
            tasks=[_task_status(task) for task in work.tasks.observed()],
            jobs_running=sum(report.state == "running" for report in reports),
            pending_reports=sum(report.state != "running" for report in reports) + work.logs.pending(),
            engine_error=work.engine_error() or "",
            disk_free_gb=disk.free / 1e9,
            disk_total_gb=disk.total / 1e9,
        )

    def _write_for_ever(self) -> None:
        while not self._ending.is_set():
            self._changed.clear()
            self.write()
            if self._work is not None:
                self._work.tidy()
            self._changed.wait(_WRITE_SECONDS)
            self._ending.wait(_GATHER_SECONDS)


def _task_status(task: ObservedTask) -> TaskStatus:
    return TaskStatus(task_id=task.task_id, phase=task.phase, age_seconds=task.age_seconds, message=task.message)
