"""Copies of files between instances: their life as a table, and what opens the source to one of them alone."""

import re
from dataclasses import dataclass
from typing import Literal

from hosting.domain import jobs
from marketplace.domain import instance_states as instances

OPEN = "open"
DONE = "done"
FAILED = "failed"
CANCELED = "canceled"

STATES = (OPEN, DONE, FAILED, CANCELED)
TRANSITIONS: dict[str, frozenset[str]] = {
    OPEN: frozenset({DONE, FAILED, CANCELED}),
    DONE: frozenset(),
    FAILED: frozenset(),
    CANCELED: frozenset(),
}

MAX_PATH_CHARS = 1024
_GONE = frozenset({instances.DESTROYING, instances.DESTROYED})
_STOPPED = frozenset({instances.STOPPING, instances.STOPPED, instances.EXITED, instances.ERROR, instances.OUTBID})
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")

# In the source's own words: whatever rsync asks for, the answer is to send this path and to do nothing else. Of the
# request only the letters of its flags count, because both ends have to agree on them. No double quotes: in
# authorized_keys they would end the command.
_SCRIPT = (
    "set -f; set -- $SSH_ORIGINAL_COMMAND; "
    "case $1.$2.$3 in rsync.--server.--sender) ;; *) echo Only this copy is allowed. >&2; exit 9;; esac; "
    "f=$4; case ${{f%%e.*}} in -*[!HlogDtpruvz]*|[!-]*) echo These flags are not allowed. >&2; exit 9;; esac; "
    "case $f in *[!-.A-Za-z0-9]*) exit 9;; esac; "
    "p=/.spotyard/tools/bin/rsync; [ -x $p ] || p=rsync; "
    "exec $p --server --sender $f --numeric-ids --timeout=120 . {path}"
)


@dataclass(frozen=True)
class Ending:
    """How an open copy is to end now."""

    state: Literal["done", "failed", "canceled"]
    reason: str = ""
    message: str = ""


def path_problem(path: str) -> str:
    """What is wrong with a path to copy from or to; empty when all is well."""
    if not path.startswith("/"):
        return "Give the whole path, beginning with a slash, such as /root/data."
    if len(path) > MAX_PATH_CHARS:
        return f"A path has at most {MAX_PATH_CHARS} characters."
    if _UNPRINTABLE.search(path):
        return "A path can't contain control characters."
    if '"' in path:
        return "A path with a double quote can't be copied: rename it first."
    return ""


def key_line(public_key: str, path: str, copy_id: int) -> str:
    """The line of the source's authorized_keys: this key may have what is at the path sent, and nothing else."""
    script = _SCRIPT.format(path=_quoted(path))
    # Whatever shell root has there, the script is for a plain one.
    command = f"exec /bin/sh -c {_quoted(script)}"
    return f'restrict,command="{command}" {public_key} spotyard-copy-{copy_id}'


def _quoted(text: str) -> str:
    """One word for any shell, without double quotes."""
    return "'" + text.replace("'", "'\\''") + "'"


def ending(*, source_state: str, target_state: str, job_state: str, job_reason: str, job_message: str) -> Ending | None:
    """How a copy that is open ends, from the states of both instances and of the job; None where it goes on."""
    if job_state == jobs.DONE:
        return Ending("done", message=job_message)
    if source_state in _GONE:
        return Ending("failed", "source_gone", "The source instance was destroyed.")
    if target_state in _GONE:
        return Ending("failed", "target_gone", "The target instance was destroyed.")
    if source_state in _STOPPED:
        return Ending("failed", "source_stopped", _stopped("source"))
    if target_state in _STOPPED:
        return Ending("failed", "target_stopped", _stopped("target"))
    if job_state not in jobs.OPEN:
        return Ending("failed", job_reason or job_state, job_message or "The target's machine did not do it.")
    return None


def _stopped(which: str) -> str:
    return (
        f"The {which} instance was stopped meanwhile. What has arrived is kept: when both run, copy again, and only "
        "the rest is sent."
    )


def may_become(old: str, new: str) -> bool:
    """Whether the table allows ``old`` to become ``new``."""
    return new in TRANSITIONS[old]
