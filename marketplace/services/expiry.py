"""Ends instances whose lifetime is over."""

from datetime import datetime

from django.db import transaction

from marketplace.domain import instance_states as states
from marketplace.locks import lock_instance
from marketplace.models import Instance
from marketplace.services.clearing import machine_clear
from marketplace.services.stopping import instance_stop_now, swept

MESSAGE = "Stopped because its lifetime is over. The disk is kept for now: copy out what you need."


def stop_expired(*, now: datetime) -> int:
    """Stop everything that runs or waits past the end of its lifetime; returns how many.

    GPU time is charged until the lifetime's end, however late this sweep comes.
    """
    due = Instance.objects.filter(end_at__lte=now, state__in=states.CAN_STOP).order_by("machine_id", "pk")
    return sum(swept(_stop, instance_id=pk, now=now) for pk in due.values_list("pk", flat=True))


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
