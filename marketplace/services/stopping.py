"""Ends the running of an instance, whoever wants it."""

from collections.abc import Callable
from datetime import datetime

import structlog
from django.contrib.auth.base_user import AbstractBaseUser

from hosting.services.tasks import task_stop
from marketplace.domain import instance_states as states
from marketplace.models import Instance
from marketplace.services.metering import gpu_time_ends
from marketplace.services.transition import instance_transition

logger = structlog.get_logger(__name__)


def swept(stop: Callable[..., bool], *, instance_id: int, **values: datetime) -> bool:
    """Let a sweeper stop one instance; whatever goes wrong with it must not keep the sweeper from the others."""
    try:
        return stop(instance_id, **values)
    except Exception:
        logger.exception("sweep_failed", instance_id=instance_id)
        return False


def instance_stop_now(
    *,
    instance: Instance,
    actor: AbstractBaseUser | None,
    billed_until: datetime,
    now: datetime,
    reason: str,
    message: str,
) -> None:
    """Stop an instance that runs, loads or waits; its machine is locked. GPU time is charged until ``billed_until``.

    The GPUs are freed when the agent says that the container does not run, which may be later than this.
    """
    gpu_time_ends(instance=instance, at=billed_until)
    task_stop(task=instance.task, now=now)
    still_ending = instance.task.gpu_claims.filter(released_at=None).exists()
    Instance.objects.filter(pk=instance.pk).update(wants_running=False, waiting_since=None, running_since=None)
    to = states.STOPPING if instance.state in states.ON_GPUS or still_ending else states.STOPPED
    instance_transition(instance=instance, to=to, now=now, actor=actor, reason=reason, message=message)
