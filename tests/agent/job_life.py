"""One life of an agent's jobs on a state directory, with a marketplace that is a dictionary."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.job_protocol import DesiredJob, JobReport
from agent.jobs.courier import Courier
from agent.jobs.kinds import Handler, JobContext, Outcome
from agent.jobs.record import JobStore
from agent.jobs.runner import JobRunner, JobTools
from agent.protocol import OutputReply
from agent.server import ServerAwayError, ServerClient
from tests.agent.fakes import ManualPool

Point = Callable[[str], None]


def no_point(_name: str) -> None:
    """Passes."""


def job(job_id: int = 1, **changes: object) -> DesiredJob:
    """A job with plenty of time."""
    values: dict[str, object] = {
        "job_id": job_id,
        "kind": "once",
        "task_id": 1,
        "arguments": {},
        "seconds_left": 60.0,
        "most_output_bytes": 1000,
    }
    return DesiredJob(**(values | changes))  # type: ignore[arg-type]  # the dict mixes types by design


@dataclass
class Server:
    """Keeps orders and what is told of them. A job is over with its first final report."""

    open: dict[int, DesiredJob] = field(default_factory=dict)
    ends: dict[int, JobReport] = field(default_factory=dict)
    outputs: dict[int, bytes] = field(default_factory=dict)
    away: bool = False
    wanted: bool = True
    point: Point = no_point

    def ask(self, *jobs: DesiredJob) -> None:
        self.open |= {one.job_id: one for one in jobs}

    def take(self, reports: list[JobReport]) -> None:
        for report in reports:
            if report.state != "running" and self.open.pop(report.job_id, None) is not None:
                self.ends[report.job_id] = report

    def receive(self, job_id: int, start: int, content: bytes) -> OutputReply:
        self.point("before output")
        if self.away:
            raise ServerAwayError("away")
        known = self.outputs.get(job_id, b"")
        assert start <= len(known)
        self.outputs[job_id] = known + content[len(known) - start :]
        self.point("after output")
        return OutputReply(received_bytes=len(self.outputs[job_id]), wanted=self.wanted)


class FakeCourier(Courier):
    """Brings everything to a ``Server`` of the test."""

    def __init__(self, server: Server) -> None:
        super().__init__(ServerClient, str, "")
        self._server = server

    def send(self, job_id: int, start: int, content: bytes) -> OutputReply:
        return self._server.receive(job_id, start, content)


@dataclass
class Effect:
    """A handler that counts what it does in the world."""

    world: list[int]
    point: Point = no_point
    repeatable: bool = False
    lasting: bool = False
    output: bytes = b"output"
    during: Callable[[JobContext], None] = lambda _context: None

    def run(self, context: JobContext) -> Outcome:
        self.point("before effect")
        self.world.append(context.job.job_id)
        self.during(context)
        self.point("after effect")
        context.write(self.output)
        return Outcome(result={"told": 1})


class JobLife:
    """Make another on the same directory to restart the agent."""

    def __init__(
        self, server: Server, directory: Path, handlers: Mapping[str, Handler], point: Point = no_point
    ) -> None:
        self.server = server
        self.pool = ManualPool()
        self.changes = 0
        tools = JobTools(
            store=JobStore(directory),
            courier=FakeCourier(server),
            handlers=handlers,
            on_change=lambda _urgent: None,
            checkpoint=lambda name, _job_id: point(name),
            quick=self.pool,
            lasting=self.pool,
        )
        self.runner = JobRunner(tools)

    def sync(self, listed: list[DesiredJob] | None = None) -> None:
        """One exchange and what follows of it; ``listed`` is a late reply in the place of the newest."""
        self.server.take(self.runner.reports())
        self.runner.apply(list(self.server.open.values()) if listed is None else listed)
        self.pool.run()

    def settle(self) -> None:
        """Exchanges until nothing is left to say."""
        for _ in range(4):
            self.sync()
