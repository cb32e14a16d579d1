"""Short commands: in a running container by its own shell, in one that does not run by the agent's few own ones."""

from agent.disk.session import DiskSession, NotMountedError
from agent.engine.types import Command, CommandOutcome, ContainerFacts
from agent.jobs.kinds import JobContext, JobError, Outcome
from agent.jobs.workplace import Workplace, runs
from agent.tasks.disk_guard import DiskBusyError

COMMAND_SECONDS = 30.0
_SLACK_BYTES = 256
"""For the line that stands for what was left out."""
_WRITING = ("cp", "mv", "mkdir", "touch")
_ROOM_MB = 512
_SENTENCES = {
    "time": f"Ended after {COMMAND_SECONDS:.0f} seconds. For what takes longer, log in with SSH.",
    "flood": "Ended because of too much output.",
    "stop": "Ended before it was done.",
}


class Execute:
    """Never repeated: nobody knows what a command has done when the agent was killed meanwhile."""

    repeatable = False
    lasting = False

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def run(self, context: JobContext) -> Outcome:
        command = Command(
            text=str(context.job.arguments.get("command", "")),
            seconds=min(COMMAND_SECONDS, context.seconds_left),
            most_output_bytes=max(0, context.job.most_output_bytes - _SLACK_BYTES),
            stop=lambda: context.must_end,
        )
        container = self._workplace.container(context)
        if container is None or container.status == "removing":
            raise JobError("no_container", "The instance has no container on its machine yet, so there is no disk.")
        if runs(container):
            outcome, where = self._workplace.engine.run_command(container.container_id, command), "container"
        else:
            outcome, where = self._on_disk(context, container, command), "disk"
        context.write(outcome.output)
        facts = {"exit_code": outcome.exit_code, "where": where, "ended_by": outcome.ended_by}
        return Outcome(result=facts, message=_SENTENCES.get(outcome.ended_by, ""))

    def _on_disk(self, context: JobContext, container: ContainerFacts, command: Command) -> CommandOutcome:
        task_id = context.job.task_id or 0
        parts = self._workplace.engine.disk_parts(container.container_id)
        if parts is None:
            raise _not_here()
        self._require_room(container, command, context)
        session = DiskSession(parts, self._workplace.mount_point)
        try:
            with self._workplace.disk_guard.using(task_id, session.end, wait_seconds=command.seconds / 2):
                # Inside, nothing starts it: what is seen now stays so.
                if runs(self._workplace.container(context)):
                    raise JobError("busy", "The instance is just being started. Try again when it runs.")
                return session.run(command)
        except DiskBusyError as error:
            raise JobError("busy", "The instance's disk is in use just now. Try again in a moment.") from error
        except NotMountedError as error:
            raise _not_here() from error

    def _require_room(self, container: ContainerFacts, command: Command, context: JobContext) -> None:
        """What is stopped is not watched while it grows, so what may grow it is asked for before."""
        if command.text.strip().partition(" ")[0] not in _WRITING:
            return
        if not self._workplace.has_room(_ROOM_MB):
            raise JobError("disk_full", "The host's disk is almost full; nothing can be added to it now.")
        limit_gb = context.job.arguments.get("disk_gb")
        used_mb = self._workplace.engine.disk_used_mb(container.container_id)
        if isinstance(limit_gb, int) and used_mb + _ROOM_MB / 2 > limit_gb * 1024:
            raise JobError("disk_limit", f"The {limit_gb} GB of the instance's disk are used up. Remove files first.")


def _not_here() -> JobError:
    message = "The disk of a stopped instance can't be looked into on this machine. Start the instance first."
    return JobError("not_supported", message)
