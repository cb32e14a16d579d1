"""Ends instances whose lifetime is over, and their disks a while later, and warns before both."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from marketplace.domain import instance_states as states
from marketplace.domain.lifetimes import AFTER_END, Stage, stage_at, warning_of
from marketplace.locks import lock_instance
from marketplace.models import Instance
from marketplace.services.clearing import machine_clear
from marketplace.services.destroying import instance_destroy_now
from marketplace.services.notices import notice_post
from marketplace.services.stopping import instance_stop_now, swept
from marketplace.services.volume_ends import volume_lifetimes_sweep

MESSAGE = "Stopped because its lifetime is over. Its disk is kept for 48 hours, in case the host extends the lifetime."
DELETED_MESSAGE = "Its lifetime is over and its disk was kept for 48 hours. Removing its disk."
_GONE = (states.DESTROYING, states.DESTROYED)


def stop_expired(*, now: datetime, machine_id: int | None = None) -> int:
    """Stop everything that runs or waits past the end of its lifetime, on one machine or on all; returns how many.

    GPU time is charged until the lifetime's end, however late this sweep comes.
    """
    due = Instance.objects.filter(_on(machine_id), end_at__lte=now, state__in=states.CAN_STOP)
    due = due.order_by("machine_id", "pk")
    return sum(swept(_stop, instance_id=pk, now=now) for pk in due.values_list("pk", flat=True))


def _on(machine_id: int | None) -> Q:
    return Q() if machine_id is None else Q(machine_id=machine_id)


def lifetimes_sweep(*, now: datetime, machine_id: int | None = None) -> int:
    """Warn of ends to come and delete the disks whose time is over; returns how many instances and volumes got on.

    A sweep that comes late skips the warnings that later ones have overtaken.
    """
    due = Q()
    for stage, offset in AFTER_END.items():
        due |= Q(lifetime_stage__lt=stage, end_at__lte=now - offset)
    ids = Instance.objects.filter(due, _on(machine_id)).exclude(state__in=_GONE).order_by("machine_id", "pk")
    advanced = sum(swept(_advance, instance_id=pk, now=now) for pk in ids.values_list("pk", flat=True))
    return advanced + volume_lifetimes_sweep(now=now, machine_id=machine_id)


@transaction.atomic
def _stop(instance_id: int, now: datetime) -> bool:
    instance = lock_instance(instance_id)
    if instance.state not in states.CAN_STOP or instance.end_at > now:
        return False
    instance_stop_now(
        instance=instance, actor=None, billed_until=instance.end_at, now=now, reason="expired", message=MESSAGE
    )
    machine_clear(machine=instance.machine, now=now)
    return True


@transaction.atomic
def _advance(instance_id: int, now: datetime) -> bool:
    instance = lock_instance(instance_id)
    stage = stage_at(instance.end_at, now)
    if instance.state in _GONE or stage <= instance.lifetime_stage:
        return False
    if stage == Stage.DISK_DELETED:
        instance_destroy_now(
            instance=instance,
            actor=None,
            billed_until=instance.end_at + AFTER_END[stage],
            now=now,
            reason="expired",
            message=DELETED_MESSAGE,
        )
    Instance.objects.filter(pk=instance.pk).update(lifetime_stage=stage)
    _warn(instance, stage, now)
    return True


def _warn(instance: Instance, stage: Stage, now: datetime) -> None:
    warning = warning_of(stage, instance.end_at)
    if warning is None or _hardly_lived(instance, stage):
        return
    notice_post(
        instance=instance,
        kind=warning.kind,
        key=f"instance:{instance.pk}:lifetime:{stage.name.lower()}:{instance.end_at.isoformat()}",
        subject=f"Instance {instance.pk} {warning.subject}",
        text=warning.text,
        now=now,
        data={"end_at": instance.end_at, "disk_deleted_at": instance.end_at + AFTER_END[Stage.DISK_DELETED]},
    )


def _hardly_lived(instance: Instance, stage: Stage) -> bool:
    """Whoever rents for less than a day knows that it ends within a day."""
    due_at = instance.end_at + AFTER_END[stage]
    return stage == Stage.ENDS_IN_A_DAY and due_at < instance.created_at + timedelta(minutes=1)
