"""What a kind of job is: a handler that is given one job at a time, and says whether it may be done again.

To add one: write the handler here beside the others, name it in ``handlers`` of ``agent/jobs/handlers.py``, and say in
``hosting/domain/jobs.py`` how long it may take and how much it may bring.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from agent.job_protocol import DesiredJob
from agent.jobs.courier import Courier

A = TypeVar("A", bound=msgspec.Struct)


class JobError(Exception):
    """The job came to nothing; ``message`` is a sentence for whoever asked."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a job that was done tells: a few facts, and a sentence where there is something to say."""

    result: dict[str, Any]
    message: str = ""


@dataclass
class JobContext:
    """One job that is being done. ``stop`` is set when it is not wanted any more."""

    job: DesiredJob
    output: Path
    courier: Courier
    tell: Callable[[float | None, str], None]
    """Progress as a share of 1, and words; may be called often."""
    stop: threading.Event = field(default_factory=threading.Event)
    show: Callable[[dict[str, Any]], None] = lambda _facts: None
    """Facts that the server needs while the job goes on; the last ones count."""
    _began: float = field(default_factory=time.monotonic)

    @property
    def seconds_left(self) -> float:
        """Until the deadline."""
        return self.job.seconds_left - (time.monotonic() - self._began)

    @property
    def must_end(self) -> bool:
        return self.stop.is_set() or self.seconds_left <= 0

    def workspace(self) -> Path:
        """A folder of the job's own, for the agent's user only. It outlives the agent, and goes with the job's end."""
        folder = workspace_beside(self.output)
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def write(self, content: bytes) -> None:
        """Make this the job's output: as much of its end as the server takes."""
        self.output.write_bytes(content[-self.job.most_output_bytes :] if self.job.most_output_bytes else b"")


def workspace_beside(output: Path) -> Path:
    """Where the job with this output has its workspace."""
    return output.with_suffix(".work")


def arguments_of(context: JobContext, kind: type[A]) -> A:
    """What the server gave with the job, checked. Raises ``JobError``."""
    try:
        return msgspec.convert(context.job.arguments, kind)
    except msgspec.ValidationError as error:
        raise JobError("bad_arguments", f"This agent does not understand what is asked: {error}") from error


class Handler(Protocol):
    """``run`` ends soon after ``context.must_end``. It may raise JobError, and what the engine raises."""

    repeatable: bool
    """Doing it twice is as doing it once: after the agent was killed it is done again, else it is told interrupted."""
    lasting: bool
    """Takes long; such jobs have threads of their own, so that short ones never wait for them."""

    def run(self, context: JobContext) -> Outcome: ...
