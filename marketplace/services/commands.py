"""Short commands that a client runs in an instance from the page or the API."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting.domain import jobs
from hosting.locks import lock_machine
from hosting.models import Job
from hosting.services.jobs import job_ask
from marketplace.access import instance_for
from marketplace.domain import instance_states as states
from marketplace.errors import MarketError
from marketplace.services.transition import instance_event

MOST_COMMAND_CHARS = 4000
COMMAND_EVENT_CHARS = 500
UNSETTLED = frozenset({states.LOADING, states.STOPPING, states.DESTROYING})


@transaction.atomic
def command_run(*, instance_id: int, client: AbstractBaseUser, command: str, now: datetime) -> Job:
    """Have a shell command run in the client's instance, or a simple one on its disk where it does not run.

    Raises MarketError: no_such_instance (404), invalid_args, wrong_state (409), machine_offline (409);
    HostingError(too_many_jobs, 429).
    """
    text = _checked(command)
    instance = instance_for(client, instance_id)
    machine = lock_machine(instance.machine_id)
    instance.refresh_from_db(fields=["state"])
    if instance.state in UNSETTLED:
        message = f"Instance {instance.pk} is {instance.state}. Commands work when it runs or is stopped."
        raise MarketError("wrong_state", message, status=409)
    if instance.task.run_generation == 0:
        message = f"Instance {instance.pk} has not been started yet, so there is nothing to run commands on."
        raise MarketError("wrong_state", message, status=409)
    if not machine.online:
        message = f"The machine of instance {instance.pk} can't be reached now. Try again later."
        raise MarketError("machine_offline", message, status=409)
    instance.task.machine = machine
    arguments = {"command": text, "disk_gb": instance.disk_gb}
    job = job_ask(task=instance.task, kind=jobs.EXECUTE, arguments=arguments, asked_by=client, now=now)
    instance_event(instance, "command", now=now, actor=client, message=text[:COMMAND_EVENT_CHARS])
    return job


def _checked(command: str) -> str:
    text = command.replace("\r\n", "\n").strip()
    if not text:
        raise MarketError("invalid_args", "Give a command.", field="command")
    if len(text) > MOST_COMMAND_CHARS:
        message = f"A command has at most {MOST_COMMAND_CHARS} characters. Copy longer ones as a script."
        raise MarketError("invalid_args", message, field="command")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise MarketError("invalid_args", "A command can't hold NUL or half characters.", field="command")
    return text
