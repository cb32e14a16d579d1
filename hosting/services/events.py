"""Appends to the history of machines."""

from datetime import datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser

from hosting.models import Machine, MachineEvent


def machine_event(
    machine: Machine,
    kind: str,
    *,
    now: datetime,
    actor: AbstractBaseUser | None = None,
    message: str = "",
    **details: Any,
) -> MachineEvent:
    """Record what happened to a machine, in the caller's transaction."""
    return MachineEvent.objects.create(
        machine=machine,
        at=now,
        kind=kind,
        actor_id=actor.pk if actor else None,
        message=message,
        details=details,
    )
