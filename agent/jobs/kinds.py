"""What a kind of job is: a handler that is given one job at a time, and says whether it may be done again.

To add one: write the handler here beside the others, name it in ``handlers`` of ``agent/jobs/handlers.py``, and say in
``hosting/domain/jobs.py`` how long it may take and how much it may bring.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from agent.jobs.courier import Courier
from agent.protocol import DesiredJob


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
    _began: float = field(default_factory=time.monotonic)

    @property
    def seconds_left(self) -> float:
        """Until the deadline."""
        return self.job.seconds_left - (time.monotonic() - self._began)

    @property
    def must_end(self) -> bool:
        return self.stop.is_set() or self.seconds_left <= 0

    def write(self, content: bytes) -> None:
        """Make this the job's output: as much of its end as the server takes."""
        self.output.write_bytes(content[-self.job.most_output_bytes :] if self.job.most_output_bytes else b"")


class Handler(Protocol):
    """``run`` ends soon after ``context.must_end``. It may raise JobError, and what the engine raises."""

    repeatable: bool
    """Doing it twice is as doing it once: after the agent was killed it is done again, else it is told interrupted."""
    lasting: bool
    """Takes long; such jobs have threads of their own, so that short ones never wait for them."""

    def run(self, context: JobContext) -> Outcome: ...
