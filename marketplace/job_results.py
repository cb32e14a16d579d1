"""Results of requests for logs and commands: where they are found, and what they say.

The address is a ticket that we signed: who has it may read this one result, and nobody can guess one.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.core import signing

from hosting.domain import jobs
from hosting.models import Job, TaskEvent
from hosting.outputs import job_output, kept_log
from marketplace.domain.log_text import chosen, readable
from marketplace.errors import MarketError
from marketplace.models import Instance

VALID_FOR = timedelta(hours=1)
_SALT = "marketplace.job_results"


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What one address stands for."""

    instance_id: int
    job_id: int | None = None
    last_lines: int | None = None
    containing: str = ""
    of_daemon: bool = False
    """What agent and marketplace did with the instance, instead of what it wrote."""


def sign(ticket: Ticket) -> str:
    """The ticket as a part of an address."""
    return signing.dumps(msgspec.to_builtins(ticket), salt=_SALT, compress=True)


def ticket_of(text: str) -> Ticket:
    """Raises MarketError(no_such_result, 404) for what we did not sign, or too long ago."""
    try:
        return msgspec.convert(signing.loads(text, salt=_SALT, max_age=VALID_FOR), Ticket)
    except (signing.BadSignature, msgspec.ValidationError) as error:
        message = "This result does not exist (any more). Ask for a new one."
        raise MarketError("no_such_result", message, status=404) from error


def result_text(ticket: Ticket) -> str | None:
    """What there is at the ticket's address; None as long as the machine has not answered.

    Raises MarketError(no_such_result, 404) when it was deleted meanwhile.
    """
    instance = Instance.objects.select_related("task").filter(pk=ticket.instance_id).first()
    job = Job.objects.filter(pk=ticket.job_id, task__instance=instance).first() if ticket.job_id else None
    if instance is None or (ticket.job_id and job is None):
        raise MarketError("no_such_result", "This result was deleted. Ask for a new one.", status=404)
    if job is not None and job.is_open:
        return None
    if job is not None and job.kind == jobs.EXECUTE:
        return command_text(job)
    text = daemon_log(instance) if ticket.of_daemon else log_text(instance, job)
    return chosen(text, containing=ticket.containing, last=ticket.last_lines)


def log_text(instance: Instance, job: Job | None) -> str:
    """What the instance's containers wrote, those that are gone first; ``job`` has brought the end of it."""
    if job is not None and job.state != jobs.DONE:
        return f"The log of instance {instance.pk} could not be read: {job.message or job.state}\n"
    content = kept_log(instance.task)
    if job is not None:
        content += job_output(job)
    if content:
        return readable(content)
    return nothing_yet(instance)


def nothing_yet(instance: Instance) -> str:
    """What to say of a log that is empty, with the reason where one is known."""
    reason = instance.status_message
    return f"Instance {instance.pk} has written nothing.{f' It is {instance.state}: {reason}' if reason else ''}\n"


def command_text(job: Job) -> str:
    """The output of a command, and how it ended where that was not well."""
    if job.state != jobs.DONE:
        return f"{job.message or job.state}\n"
    text = readable(job_output(job))
    ending = command_ending(job)
    if not ending:
        return text
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}[{ending}]\n"


def command_ending(job: Job) -> str:
    """How a command ended, in a sentence; empty where it was well."""
    facts: dict[str, Any] = job.result or {}
    if job.message:
        return job.message
    code = facts.get("exit_code")
    return f"exit code {code}" if code else ""


def daemon_log(instance: Instance) -> str:
    """What marketplace and agent did with the instance, a line each."""
    lines = [(event.at, _words(event.kind, event.to_state, event.message)) for event in instance.events.all()]
    lines += [
        (told.at, _words("agent", f"run {told.run_generation} {told.phase}", told.message))
        for told in TaskEvent.objects.filter(task_id=instance.task_id)
    ]
    return "".join(f"{_stamp(at)} {text}\n" for at, text in sorted(lines))


def _words(kind: str, what: str, message: str) -> str:
    flat = " ".join(message.split())
    return f"{kind}{f' {what}' if what else ''}{f': {flat}' if flat else ''}"


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
