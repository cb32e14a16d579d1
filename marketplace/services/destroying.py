"""Ends a contract, whoever wants it."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser

from hosting.services.tasks import task_remove
from marketplace.domain import instance_states as states
from marketplace.models import Instance
from marketplace.services.clearing import machine_clear
from marketplace.services.metering import meters_close
from marketplace.services.transition import instance_transition


def instance_destroy_now(
    *,
    instance: Instance,
    actor: AbstractBaseUser | None,
    billed_until: datetime,
    now: datetime,
    reason: str,
    message: str,
) -> None:
    """End the contract of a locked instance that is not ended yet: charging ends at ``billed_until``, container and
    disk are removed."""
    meters_close(instance=instance, at=billed_until)
    task_remove(task=instance.task, now=now)
    Instance.objects.filter(pk=instance.pk).update(wants_running=False, waiting_since=None, running_since=None)
    instance_transition(instance=instance, to=states.DESTROYING, now=now, actor=actor, reason=reason, message=message)
    machine_clear(machine=instance.machine, now=now)
