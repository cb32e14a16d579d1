"""The one way an instance changes its state."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser

from marketplace.domain.instance_states import may_become
from marketplace.errors import MarketError
from marketplace.models import Instance, InstanceEvent


def instance_transition(
    *,
    instance: Instance,
    to: str,
    now: datetime,
    actor: AbstractBaseUser | None = None,
    reason: str = "",
    message: str = "",
) -> None:
    """Move the instance from the state it is in to ``to`` and record who did it and why, in the caller's transaction.

    The UPDATE is conditional on the old state, so of two rivals one wins. Raises MarketError(wrong_state, 409).
    """
    old = instance.state
    if not may_become(old, to):
        raise MarketError("wrong_state", f"Instance {instance.pk} is {old}; it can't become {to}.", status=409)
    updated = Instance.objects.filter(pk=instance.pk, state=old).update(
        state=to, state_since=now, status_message=message
    )
    if not updated:
        raise MarketError("wrong_state", f"Instance {instance.pk} is not {old} any more. Try again.", status=409)
    instance.state, instance.state_since, instance.status_message = to, now, message
    instance_event(instance, "state", now=now, actor=actor, from_state=old, to_state=to, reason=reason, message=message)


def instance_event(
    instance: Instance,
    kind: str,
    *,
    now: datetime,
    actor: AbstractBaseUser | None = None,
    from_state: str = "",
    to_state: str = "",
    reason: str = "",
    message: str = "",
) -> None:
    """Append to the instance's history."""
    InstanceEvent.objects.create(
        instance=instance,
        at=now,
        kind=kind,
        actor_id=actor.pk if actor else None,
        from_state=from_state,
        to_state=to_state,
        reason=reason,
        message=message,
    )
