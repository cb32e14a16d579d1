"""The part of the wire schema that is about jobs: what an agent is asked to do once."""

from typing import Any, Literal

import msgspec

JOB_OUTPUT_PATH = "/api/agent/v1/jobs/{job_id}/output"
"""Takes bytes, with ``?offset=`` of the first of them in the job's output; answers ``OutputReply``."""
MOST_OUTPUT_CHUNK_BYTES = 256 * 1024


class DesiredJob(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the server asks to be done once. It is wanted as long as it is listed."""

    job_id: int
    kind: str
    task_id: int | None
    """The task it is about, where there is one."""
    arguments: dict[str, Any]
    seconds_left: float
    """Until its deadline; what has not begun by then does not begin, what goes on ends."""
    most_output_bytes: int
    """How much of its output the server takes."""


class JobReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a listed job is. Told in every request until the server lists the job no more."""

    job_id: int
    state: Literal["running", "done", "failed"]
    progress: float | None = None
    """Share that is done, 0..1."""
    reason: str = ""
    """With ``failed``: a stable code. ``interrupted``: the agent was killed, and how far the job came is not known."""
    message: str = ""
    """Plain words for whoever asked."""
    result: dict[str, Any] | None = None
    """With ``done``, a few facts; more travels as output, which is complete before this is told. With ``running``, what
    the server has to know for others to go on."""
