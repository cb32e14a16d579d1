"""What to do next about one task: a pure function of what should be, what is, and what the agent remembers.

It names one step; whoever carries it out comes back with new facts. Asking twice does no harm, so an agent killed
between any two steps goes on where it was.
"""

from dataclasses import dataclass

from agent.engine.timestamps import instant
from agent.engine.types import NEVER, ContainerFacts
from agent.guest.files import NO_SERVER_EXIT_CODE, SERVER_FAILS_EXIT_CODE
from agent.protocol import DesiredState, FailureReason, Phase
from agent.tasks.memory import NO_RUN, TaskMemory, Verdict

NO_SHELL = "The image has no /bin/sh, which an SSH instance needs."
_NO_SERVER = (
    "The image has no SSH server, and this host has none to lend to it now. Choose an image with OpenSSH or dropbear "
    "installed, or try again later."
)
SSH_DEADLINE_SECONDS = 120.0
"""From the start of a run to its SSH server's first answer; nothing is charged for that time, so it has to end."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The part of a desired task that decides."""

    state: DesiredState
    run_generation: int
    ssh: bool
    keys_digest: str
    gpus: frozenset[str] | None = None
    """None where any will do."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """How a task is. ``since`` is the engine's time of when it became so; None means since it was first noticed."""

    phase: Phase
    run_generation: int
    since: str | None = None
    since_offset_seconds: float = 0.0
    exit_code: int | None = None
    reason: FailureReason | None = None
    message: str = ""
    result: str | None = None
    """What a run that ended has to tell, where the server wants that; None as long as it has not been read."""
    ran_seconds: float | None = None
    """How long a run that ended by itself could be used; None where it never could."""
    erased: tuple[str, ...] = ()
    """Of what is removed: what was looked for and is gone."""


class Step:
    """One thing to do."""


@dataclass(frozen=True)
class Adopt(Step):
    """Remember a container that has run though nothing is known of it: what it does now counts as the run wanted."""


@dataclass(frozen=True)
class Create(Step):
    """Make the container, on the disk of an earlier one where a move is under way."""


@dataclass(frozen=True)
class Move(Step):
    """Save the container's disk, unless that is done, and delete it, to make it anew from there with other GPUs."""

    last_run: int


@dataclass(frozen=True)
class Start(Step):
    """Begin the run wanted."""

    previous_generation: int


@dataclass(frozen=True)
class Stop(Step):
    """End the run that goes on."""

    run_generation: int
    for_good: bool
    """Not in order to start the next run."""


@dataclass(frozen=True)
class Remove(Step):
    """Delete the container."""


@dataclass(frozen=True)
class Forget(Step):
    """Delete what is remembered: the last trace."""


@dataclass(frozen=True)
class MarkLost(Step):
    """The container was there and is not any more, though nobody asked the agent to remove it."""


@dataclass(frozen=True)
class RewriteKeys(Step):
    """Replace the authorized keys in the container."""


@dataclass(frozen=True)
class AwaitReady(Step):
    """Wait until the SSH server answers, and condemn the run if it does not in time."""

    run_generation: int


@dataclass(frozen=True)
class Rest(Step):
    """Nothing to do."""

    observation: Observation


def decide(wanted: Wanted, container: ContainerFacts | None, memory: TaskMemory | None) -> Step:
    """The next step; ``memory`` is None where the task is not known at all."""
    if container is not None and container.status == "removing":
        return Rest(Observation(phase="stopping", run_generation=wanted.run_generation))
    if wanted.state == "removed":
        return _decide_removed(wanted, container, memory)
    if container is None:
        return _decide_absent(wanted, memory)
    if container.started_at != NEVER and (memory is None or memory.intended_generation == NO_RUN):
        return Adopt()
    if container.status == "running":
        return _decide_running(wanted, container, memory)
    return _decide_ended(wanted, container, memory)


def last_run(wanted: Wanted, container: ContainerFacts, memory: TaskMemory | None) -> int:
    """Generation of the latest run of the container, or of those whose disk it has; -1 for none.

    A container that has run but of which nothing is remembered counts as being in the run wanted: a run must never
    be made twice.
    """
    if container.started_at == NEVER:
        origin = memory.origin(container.container_id) if memory is not None else None
        return origin.last_run if origin is not None else NO_RUN
    if memory is None or memory.intended_generation == NO_RUN:
        return wanted.run_generation
    if container.started_at != memory.started_before:
        return memory.intended_generation
    return memory.previous_generation


def ssh_overdue(container: ContainerFacts, now: float) -> bool:
    """Whether the run that goes on has had its time to answer over SSH; ``now`` in seconds since the epoch.

    Counted from the engine's own record of the start, so neither a slow pull nor a restart of the agent matters.
    """
    return now - instant(container.started_at) > SSH_DEADLINE_SECONDS


def no_answer(run: int) -> Verdict:
    """The verdict over a run whose SSH server is overdue."""
    message = f"The SSH server did not answer within {SSH_DEADLINE_SECONDS / 60:.0f} minutes."
    return Verdict(run_generation=run, reason="no_ssh_server", message=message)


def _decide_removed(wanted: Wanted, container: ContainerFacts | None, memory: TaskMemory | None) -> Step:
    if container is not None:
        return Remove()
    if memory is not None:
        return Forget()
    return Rest(Observation(phase="removed", run_generation=wanted.run_generation))


def _decide_absent(wanted: Wanted, memory: TaskMemory | None) -> Step:
    if memory is not None and memory.created and memory.moving is None:
        return MarkLost()
    failed = _failed(wanted, memory)
    if failed is not None and (wanted.state == "running" or failed.reason == "container_lost"):
        return Rest(failed)
    if wanted.state == "stopped":
        return Rest(Observation(phase="stopped", run_generation=wanted.run_generation))
    return Create()


def _decide_running(wanted: Wanted, container: ContainerFacts, memory: TaskMemory | None) -> Step:
    run = last_run(wanted, container, memory)
    if wanted.state == "stopped":
        return Stop(run, for_good=True)
    if run < wanted.run_generation:
        return Stop(run, for_good=False)
    if _condemned(run, memory):
        return Stop(run, for_good=True)
    # Readiness first: it has a deadline, which a guest that lets no keys be written must not put off.
    if wanted.ssh and (memory is None or memory.ready_generation != run):
        return AwaitReady(run)
    if wanted.ssh and memory is not None and memory.keys_digest != wanted.keys_digest:
        return RewriteKeys()
    return Rest(observe(wanted, container, memory))


def _decide_ended(wanted: Wanted, container: ContainerFacts, memory: TaskMemory | None) -> Step:
    run = last_run(wanted, container, memory)
    to_start = wanted.state == "running" and run < wanted.run_generation
    if to_start and _failed(wanted, memory) is None:
        # Once the disk is saved a move is gone on with even for the same GPUs: the container may be half deleted.
        saved = memory is not None and memory.is_saved(container)
        return Move(run) if saved or _elsewhere(wanted, container) else Start(run)
    return Rest(observe(wanted, container, memory))


def _elsewhere(wanted: Wanted, container: ContainerFacts) -> bool:
    """Whether the container has other GPUs than the run wanted. It keeps for good those it was made with."""
    return wanted.gpus is not None and container.gpus is not None and wanted.gpus != container.gpus


def observe(wanted: Wanted, container: ContainerFacts, memory: TaskMemory | None) -> Observation:
    """How a task with a container is, whether or not anything is still to be done about it."""
    run = last_run(wanted, container, memory)
    if container.status == "running":
        return _observe_running(wanted, container, memory, run)
    ended_at = None if container.finished_at == NEVER else container.finished_at
    if wanted.state != "running":
        return Observation(phase="stopped", run_generation=wanted.run_generation, since=ended_at)
    if run < wanted.run_generation:
        # Here only with a failure to start, or before the server was heard.
        failed = _failed(wanted, memory)
        return failed or Observation(phase="starting", run_generation=wanted.run_generation)
    return _observe_exit(wanted, container, memory, run)


def _observe_running(wanted: Wanted, container: ContainerFacts, memory: TaskMemory | None, run: int) -> Observation:
    if not wanted.ssh:
        return Observation(phase="running", run_generation=run, since=container.started_at)
    if memory is not None and memory.ready_generation == run:
        return Observation(
            phase="running",
            run_generation=run,
            since=container.started_at,
            since_offset_seconds=memory.ready_after_seconds,
        )
    return Observation(phase="starting", run_generation=run, since=container.started_at)


def _observe_exit(wanted: Wanted, container: ContainerFacts, memory: TaskMemory | None, run: int) -> Observation:
    reason, message = _ending(wanted, container, memory, run)
    never_ready = wanted.ssh and (memory is None or memory.ready_generation != run)
    unusable = never_ready and reason in ("no_ssh_server", "no_shell")
    return Observation(
        phase="failed" if unusable else "exited",
        run_generation=run,
        since=None if container.finished_at == NEVER else container.finished_at,
        exit_code=container.exit_code,
        reason=reason,
        message=message,
        ran_seconds=None if never_ready else _ran_seconds(container, memory if wanted.ssh else None),
    )


def _ran_seconds(container: ContainerFacts, memory: TaskMemory | None) -> float | None:
    """From the start of the container's last run to its end; of an SSH instance (with ``memory``), from when its server
    answered."""
    if NEVER in (container.started_at, container.finished_at):
        return None
    lasted = instant(container.finished_at) - instant(container.started_at)
    return max(0.0, lasted - (memory.ready_after_seconds if memory is not None else 0.0))


def _condemned(run: int, memory: TaskMemory | None) -> bool:
    """The agent itself has judged that this run must end."""
    return memory is not None and memory.verdict is not None and memory.verdict.run_generation == run


def _failed(wanted: Wanted, memory: TaskMemory | None) -> Observation | None:
    """That the run wanted is known to have failed to start; tried again only under a higher generation."""
    verdict = memory.verdict if memory else None
    if verdict is None or verdict.run_generation < wanted.run_generation:
        return None
    return Observation(
        phase="failed",
        run_generation=verdict.run_generation,
        reason=verdict.reason,
        message=verdict.message,
    )


def _ending(
    wanted: Wanted, container: ContainerFacts, memory: TaskMemory | None, run: int
) -> tuple[FailureReason, str]:
    """Why a run is over, for the client."""
    if memory is not None and memory.verdict is not None and memory.verdict.run_generation == run:
        return memory.verdict.reason, memory.verdict.message
    code = container.exit_code
    if container.ended_with_engine:
        return "engine_down", "The host's container engine, or the whole machine, was restarted."
    if container.out_of_memory and code != 0:
        return "out_of_memory", "The instance needed more memory than it has rented and was ended."
    if wanted.ssh:
        return _ssh_ending(code)
    if code in (126, 127):
        problem = "was not found in the image" if code == 127 else "in the image can't be executed"
        return "command_not_found", f"The command {problem} (exit code {code})."
    return "exited", _exit_sentence(code)


def _ssh_ending(code: int) -> tuple[FailureReason, str]:
    if code == NO_SERVER_EXIT_CODE:
        return "no_ssh_server", _NO_SERVER
    if code == SERVER_FAILS_EXIT_CODE:
        return "no_ssh_server", "The SSH server does not run; its messages are in the instance's log."
    if code in (126, 127):
        return "no_shell", NO_SHELL
    return "exited", _exit_sentence(code)


def _exit_sentence(code: int) -> str:
    if code > 128:
        return f"The instance's main process was ended by signal {code - 128} (exit code {code})."
    return f"The instance's main process ended with exit code {code}."
