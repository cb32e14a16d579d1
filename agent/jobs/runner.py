"""The jobs of one machine: begun once, told until the server knows, ended when they are not wanted."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.engine.types import ContainerGoneError, EngineDownError, TaskError
from agent.job_protocol import DesiredJob, JobReport
from agent.jobs.courier import Courier
from agent.jobs.kinds import Handler, JobContext, JobError
from agent.jobs.record import JobRecord, JobStore, begun
from agent.logs import say
from agent.pool import Pool
from agent.server import RefusedError, ServerAwayError

_log = logging.getLogger(__name__)

_QUICK_THREADS = 4
_LASTING_THREADS = 64
_REMEMBERED_SECONDS = 2 * 24 * 3600.0
"""A job that the server closed can only be listed again by a late message, or by a server that lost its last hours."""
_MOST_REMEMBERED = 2000
_TELL_SECONDS = 1.0
_LONGEST_MESSAGE = 1000

Checkpoint = Callable[[str, int], None]


@dataclass
class _Active:
    """A job that waits for a thread, or has one."""

    job: DesiredJob
    stop: threading.Event = field(default_factory=threading.Event)
    heard_at: float = field(default_factory=time.monotonic)
    runs: bool = False
    progress: float | None = None
    message: str = ""
    facts: dict[str, Any] | None = None
    told_at: float = 0.0

    @property
    def seconds_left(self) -> float:
        return self.job.seconds_left - (time.monotonic() - self.heard_at)


@dataclass(frozen=True, kw_only=True)
class JobTools:
    """What jobs are done with. ``on_change`` is called when the server should be told something."""

    store: JobStore
    courier: Courier
    handlers: Mapping[str, Handler]
    on_change: Callable[[bool], None]
    checkpoint: Checkpoint = lambda _name, _job_id: None
    quick: Pool = field(default_factory=lambda: Pool(_QUICK_THREADS, "jobs"))
    lasting: Pool = field(default_factory=lambda: Pool(_LASTING_THREADS, "lasting-jobs"))


class JobRunner:
    """Implements ``agent.sync.JobBoard``. Asking for the same jobs again does no harm."""

    def __init__(self, tools: JobTools) -> None:
        self._tools = tools
        self._store = tools.store
        self._lock = threading.Lock()
        self._records = tools.store.load_all()
        self._listed: dict[int, DesiredJob] = {}
        self._unheard_of: dict[int, Any] = dict(self._records)
        """Those of the agent's earlier life, until the server has said which of them are open still."""
        self._active: dict[int, _Active] = {}
        self._retired = False

    def retire(self) -> None:
        """Begin nothing any more, and end what goes on."""
        with self._lock:
            self._retired = True
            for active in self._active.values():
                active.stop.set()

    def apply(self, wanted: Iterable[DesiredJob]) -> None:
        """Take the complete list of open jobs: begin what is new, tell what is over, end what is not wanted."""
        with self._lock:
            before = self._listed or self._unheard_of
            self._listed, self._unheard_of = {job.job_id: job for job in wanted}, {}
            for job in self._listed.values():
                if job.job_id not in self._active and not self._retired:
                    self._take_up(job)
            for job_id, active in self._active.items():
                if job_id not in self._listed:
                    active.stop.set()
            closed = [job_id for job_id in before if job_id not in self._listed and job_id not in self._active]
        self._tidy_up(closed)

    def reports(self) -> list[JobReport]:
        """How the listed jobs are, as far as there is something to say."""
        with self._lock:
            told = [self._report(job_id) for job_id in self._listed]
        return [report for report in told if report is not None]

    def _report(self, job_id: int) -> JobReport | None:
        record = self._records.get(job_id)
        if record is not None and record.state != "begun":
            if not record.delivered:
                return None
            return JobReport(
                job_id=job_id,
                state=record.state,
                reason=record.reason,
                message=record.message,
                result=record.result,
            )
        active = self._active.get(job_id)
        if active is None or not active.runs:
            return None
        return JobReport(
            job_id=job_id, state="running", progress=active.progress, message=active.message, result=active.facts
        )

    def _take_up(self, job: DesiredJob) -> None:
        """Give a listed job a thread, unless there is nothing left to do about it. The lock is held."""
        record = self._records.get(job.job_id)
        if record is not None and record.delivered:
            return
        if record is None and job.seconds_left <= 0:
            return
        active = self._active[job.job_id] = _Active(job)
        handler = self._tools.handlers.get(job.kind)
        pool = self._tools.lasting if handler is not None and handler.lasting else self._tools.quick
        pool.submit(lambda: self._serve(active, handler))

    def _serve(self, active: _Active, handler: Handler | None) -> None:
        job_id = active.job.job_id
        try:
            record = self._brought_to_an_end(active, handler)
            if record is not None:
                self._deliver(record)
        except Exception:
            _log.exception("job_failed job=%s kind=%s", job_id, active.job.kind)
        finally:
            with self._lock:
                del self._active[job_id]
                is_wanted = job_id in self._listed
            if not is_wanted:
                self._store.drop_output(job_id)
        self._tools.on_change(True)

    def _brought_to_an_end(self, active: _Active, handler: Handler | None) -> JobRecord | None:
        """The job's record when it is over; None where it was not begun because nobody wants it any more."""
        job, record = active.job, self._records.get(active.job.job_id)
        if record is not None and record.is_over:
            return record
        if record is not None and (handler is None or not handler.repeatable):
            message = "The agent on the machine was restarted meanwhile; how far this came is not known."
            return self._note(record.changed(state="failed", reason="interrupted", message=message, delivered=True))
        if active.stop.is_set() or active.seconds_left <= 0:
            return None
        record = self._note(begun(job.job_id, job.kind))
        self._tools.checkpoint("job_noted", job.job_id)
        active.runs = True
        self._tools.on_change(False)
        say(_log, "job_begins", job=job.job_id, kind=job.kind, task=job.task_id)
        over = self._carry_out(record, active, handler)
        self._tools.checkpoint("job_carried_out", job.job_id)
        self._note(over)
        self._store.drop_workspace(job.job_id)
        self._tools.checkpoint("job_over", job.job_id)
        say(_log, "job_over", job=job.job_id, kind=job.kind, state=over.state, reason=over.reason)
        return over

    def _carry_out(self, record: JobRecord, active: _Active, handler: Handler | None) -> JobRecord:
        if handler is None:
            message = f"The agent on this machine can't do “{active.job.kind}” yet. Its host has to update it."
            return record.changed(state="failed", reason="unsupported", message=message)
        context = JobContext(
            job=active.job,
            output=self._store.output(record.job_id),
            courier=self._tools.courier,
            tell=lambda progress, message: self._progressed(active, progress, message),
            show=lambda facts: self._shown(active, facts),
            stop=active.stop,
        )
        try:
            outcome = handler.run(context)
        except ContainerGoneError:
            message = "The instance's container was removed meanwhile."
            return record.changed(state="failed", reason="no_container", message=message)
        except (JobError, TaskError) as error:
            return record.changed(state="failed", reason=error.reason, message=error.message[:_LONGEST_MESSAGE])
        except EngineDownError as error:
            return record.changed(state="failed", reason="engine_down", message=str(error)[:_LONGEST_MESSAGE])
        except Exception:
            _log.exception("job_handler_failed job=%s kind=%s", record.job_id, record.kind)
            message = "Something went wrong on the machine; its agent's log says what."
            return record.changed(state="failed", reason="agent_error", message=message)
        return record.changed(state="done", result=outcome.result, message=outcome.message[:_LONGEST_MESSAGE])

    def _progressed(self, active: _Active, progress: float | None, message: str) -> None:
        active.progress, active.message = progress, message[:_LONGEST_MESSAGE]
        if time.monotonic() - active.told_at >= _TELL_SECONDS:
            active.told_at = time.monotonic()
            self._tools.on_change(False)

    def _shown(self, active: _Active, facts: dict[str, Any]) -> None:
        active.facts = facts
        self._tools.on_change(True)

    def _deliver(self, record: JobRecord) -> None:
        """See to it that the server has all of the output. Where it is away, the next reply of its tries again."""
        output = self._store.output(record.job_id)
        try:
            if output.exists():
                self._tools.courier.send_file(record.job_id, output)
        except ServerAwayError as error:
            say(_log, "output_not_sent", level=logging.WARNING, job=record.job_id, why=error)
            return
        except RefusedError as error:
            say(_log, "output_refused", level=logging.WARNING, job=record.job_id, error=error.error)
        self._tools.checkpoint("job_output_sent", record.job_id)
        self._note(record.changed(delivered=True))

    def _note(self, record: JobRecord) -> JobRecord:
        """On the disk first."""
        self._store.save(record)
        with self._lock:
            self._records[record.job_id] = record
        return record

    def _tidy_up(self, closed: Iterable[int]) -> None:
        """What the server closed needs its output no more. Its record stays for a while: it must not be begun again."""
        for job_id in closed:
            self._store.drop_output(job_id)
        oldest = time.time() - _REMEMBERED_SECONDS
        with self._lock:
            idle = [key for key in sorted(self._records) if key not in self._listed and key not in self._active]
            excess = len(idle) - _MOST_REMEMBERED
            stale = [key for n, key in enumerate(idle) if n < excess or self._records[key].noted_at < oldest]
            for key in stale:
                del self._records[key]
        for key in stale:
            self._store.forget(key)
