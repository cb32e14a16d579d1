"""Jobs: things that an agent is asked to do once, as tables."""

from dataclasses import dataclass
from datetime import timedelta

ASKED = "asked"
RUNNING = "running"
DONE = "done"
FAILED = "failed"
EXPIRED = "expired"
CANCELED = "canceled"

STATES = (ASKED, RUNNING, DONE, FAILED, EXPIRED, CANCELED)
OPEN = (ASKED, RUNNING)

TRANSITIONS: dict[str, frozenset[str]] = {
    ASKED: frozenset({RUNNING, DONE, FAILED, EXPIRED, CANCELED}),
    RUNNING: frozenset({DONE, FAILED, EXPIRED, CANCELED}),
    DONE: frozenset(),
    FAILED: frozenset(),
    EXPIRED: frozenset(),
    CANCELED: frozenset(),
}

LOGS = "logs"
FOLLOW = "follow"
EXECUTE = "execute"
COPY = "copy"
URL = "url"
DISK_SEND = "disk_send"
DISK_RECEIVE = "disk_receive"
ASK = "ask"
"""A question to a program of ours that runs in a container of a measurement."""

KEPT_FOR = timedelta(hours=24)
"""How long a job that is over, its output, and the log of a container that is gone are kept."""
COMMAND_SECONDS = 30
"""How long the agent lets a command run."""
EXPIRY_GRACE = timedelta(seconds=15)
"""Whoever carries out a job keeps its deadline by itself; so long its last words may take."""
MOST_RESULT_BYTES = 16 * 1024
MOST_MESSAGE_CHARS = 2000
_KB = 1024


@dataclass(frozen=True, kw_only=True)
class JobKind:
    """What the server knows of a kind of job. How it is done, the agent knows (``agent/jobs/``)."""

    patience: timedelta
    """From being asked to the deadline; a machine that can't be reached meanwhile has not done it."""
    most_output_bytes: int
    most_open: int
    """At a time about one task."""
    live: bool = False
    """Its output is for who looks at this moment: it goes to Redis and may be lost."""


KINDS: dict[str, JobKind] = {
    LOGS: JobKind(patience=timedelta(seconds=60), most_output_bytes=1024 * _KB, most_open=8),
    FOLLOW: JobKind(patience=timedelta(hours=1), most_output_bytes=0, most_open=1, live=True),
    EXECUTE: JobKind(patience=timedelta(seconds=60), most_output_bytes=288 * _KB, most_open=4),
    COPY: JobKind(patience=timedelta(hours=24), most_output_bytes=0, most_open=4),
    URL: JobKind(patience=timedelta(hours=24), most_output_bytes=0, most_open=4),
    DISK_SEND: JobKind(patience=timedelta(hours=48), most_output_bytes=0, most_open=1),
    DISK_RECEIVE: JobKind(patience=timedelta(hours=24), most_output_bytes=0, most_open=1),
    ASK: JobKind(patience=timedelta(minutes=5), most_output_bytes=_KB * _KB, most_open=64),
}


def may_become(old: str, new: str) -> bool:
    """Whether the table allows ``old`` to become ``new``."""
    return new in TRANSITIONS[old]
