"""What a client does with an instance: start, stop, reboot, label, destroy."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting.services.tasks import task_restart
from marketplace.domain import instance_states as states
from marketplace.domain import moves
from marketplace.domain.rent import MAX_LABEL_CHARS
from marketplace.errors import MarketError
from marketplace.locks import lock_instance
from marketplace.models import Instance, Move
from marketplace.services.clearing import machine_clear
from marketplace.services.clearing_sql import marks_take
from marketplace.services.credit import require_credit
from marketplace.services.destroying import instance_destroy_now
from marketplace.services.metering import gpu_time_ends
from marketplace.services.stopping import instance_stop_now
from marketplace.services.transition import instance_event, instance_transition


@transaction.atomic
def instance_start(*, instance_id: int, actor: AbstractBaseUser, now: datetime) -> Instance:
    """Ask for a new run: at once where its GPUs are free, else it waits (``scheduling``). Starting what runs is fine.

    Raises MarketError: wrong_state (409), no_credit (402), spend_limit (403), expired, machine_suspended, disk_lost,
    moving (409).
    """
    instance = lock_instance(instance_id)
    if instance.state in states.CAN_STOP:
        return instance
    _refuse_unless(instance, states.CAN_START, "started")
    _refuse_on_the_move(instance)
    if instance.end_at <= now:
        raise MarketError("expired", f"The lifetime of instance {instance.pk} is over.", status=409)
    if instance.machine.suspended_at is not None:
        message = "The marketplace has suspended this machine: nothing starts on it now. Your disk is kept."
        raise MarketError("machine_suspended", message, status=409)
    if instance.task.reason == "container_lost":
        raise MarketError("disk_lost", f"The disk of instance {instance.pk} is lost; rent again.", status=409)
    marks_take([instance.machine_id])
    instance.refresh_from_db(fields=["bid_micros_per_hour", "bid_placed_at"])
    price_micros = instance.bid_micros_per_hour or instance.gpu_micros_per_hour
    require_credit(client=instance.client, micros_per_hour=price_micros, now=now)
    Instance.objects.filter(pk=instance.pk).update(wants_running=True, waiting_since=now)
    instance_transition(
        instance=instance,
        to=states.SCHEDULING,
        now=now,
        actor=actor,
        reason="start",
        message="Waiting for its GPUs."
        if instance.machine.online
        else "Waiting for its machine to be reachable again.",
    )
    machine_clear(machine=instance.machine, now=now)
    instance.refresh_from_db(fields=["state", "status_message", "wants_running", "waiting_since"])
    return instance


@transaction.atomic
def instance_stop(*, instance_id: int, actor: AbstractBaseUser, now: datetime) -> Instance:
    """Stop the container and keep its disk; GPU time ends now. Stopping what is stopped is fine.

    Raises MarketError(wrong_state, 409) when it is being destroyed.
    """
    instance = lock_instance(instance_id)
    if instance.state in states.CAN_START:
        return instance
    _refuse_unless(instance, states.CAN_STOP, "stopped")
    instance_stop_now(instance=instance, actor=actor, billed_until=now, now=now, reason="client", message="")
    machine_clear(machine=instance.machine, now=now)
    return instance


@transaction.atomic
def instance_reboot(*, instance_id: int, actor: AbstractBaseUser, now: datetime) -> Instance:
    """Stop and start the container on the GPUs it holds. Raises MarketError(wrong_state, 409) unless it runs."""
    instance = lock_instance(instance_id)
    _refuse_unless(instance, states.CAN_REBOOT, "rebooted")
    gpu_time_ends(instance=instance, at=now)
    task_restart(task=instance.task)
    Instance.objects.filter(pk=instance.pk).update(running_since=None)
    instance_transition(
        instance=instance, to=states.LOADING, now=now, actor=actor, reason="reboot", message="Rebooting."
    )
    return instance


@transaction.atomic
def instance_label(*, instance_id: int, actor: AbstractBaseUser, label: str, now: datetime) -> Instance:
    """Name the instance. Raises MarketError(invalid_args) for a label that is too long."""
    if len(label) > MAX_LABEL_CHARS:
        raise MarketError("invalid_args", f"A label has at most {MAX_LABEL_CHARS} characters.", field="label")
    instance = lock_instance(instance_id)
    instance.label = label
    instance.save(update_fields=["label"])
    instance_event(instance, "label", now=now, actor=actor, message=label)
    return instance


@transaction.atomic
def instance_destroy(*, instance_id: int, actor: AbstractBaseUser, now: datetime) -> Instance:
    """End the contract: charging ends now, container and disk are removed. Destroying twice is fine."""
    instance = lock_instance(instance_id)
    if instance.state in (states.DESTROYING, states.DESTROYED):
        return instance
    instance_destroy_now(
        instance=instance, actor=actor, billed_until=now, now=now, reason="client", message="Removing its disk."
    )
    return instance


def _refuse_on_the_move(instance: Instance) -> None:
    """The source must not change what is packed, and the target has no disk yet."""
    out = instance.moves_out.filter(state__in=moves.OPEN, settled_at=None)
    coming = Move.objects.filter(target=instance, state__in=moves.OPEN, settled_at=None).exclude(state=moves.STARTING)
    if out.exists() or coming.exists():
        message = f"Instance {instance.pk} is being moved. Cancel the move first, or wait for its end."
        raise MarketError("moving", message, status=409)


def _refuse_unless(instance: Instance, allowed: frozenset[str], done: str) -> None:
    if instance.state not in allowed:
        raise MarketError(
            "wrong_state",
            f"Instance {instance.pk} is {instance.state} and can't be {done} now.",
            status=409,
        )
