"""Questions to a program of the server's that runs in a container of a measurement."""

import shlex

import msgspec

from agent.engine.types import Command
from agent.jobs.kinds import JobContext, JobError, Outcome, arguments_of
from agent.jobs.workplace import Workplace, runs

_SLACK_BYTES = 256


class Question(msgspec.Struct, frozen=True):
    """What is run beside the program: its words, in the container."""

    words: list[str]


class Ask:
    """Repeated where the agent was killed meanwhile: the program answers the same question in the same way."""

    repeatable = True
    lasting = True

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def run(self, context: JobContext) -> Outcome:
        question = arguments_of(context, Question)
        container = self._workplace.container(context)
        if container is None or not runs(container):
            raise JobError("no_container", "The program does not run any more.")
        command = Command(
            text=shlex.join(question.words),
            seconds=context.seconds_left,
            most_output_bytes=max(0, context.job.most_output_bytes - _SLACK_BYTES),
            stop=lambda: context.must_end,
        )
        outcome = self._workplace.engine.run_command(container.container_id, command)
        context.write(outcome.output)
        return Outcome(result={"exit_code": outcome.exit_code, "ended_by": outcome.ended_by})
