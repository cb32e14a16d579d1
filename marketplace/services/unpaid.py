"""Deletes the disks of clients that stay in debt."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import groupby

from django.db import transaction

from billing.selectors import balance_micros, disks_end_at, overdue_payers
from billing.services import disks_deleted_tell
from marketplace.domain import instance_states as states
from marketplace.locks import lock_instance
from marketplace.models import Instance
from marketplace.services.credit import stop_exhausted
from marketplace.services.destroying import instance_destroy_now
from marketplace.services.stopping import swept
from marketplace.services.volume_ends import unpaid_volumes_delete

MESSAGE = "Your credit was not renewed in time. Removing its disk."
_GONE = (states.DESTROYING, states.DESTROYED)


def delete_unpaid(*, now: datetime) -> int:
    """Destroy the instances and volumes of clients that are in debt too long or too deep; returns how many.

    Disks are charged until the debt came to its end, however late this sweep comes. What runs is stopped first, where
    the credit ended: until then it counts in when the debt reaches its limit.
    """
    stop_exhausted(now=now)
    ends = overdue_payers(now)
    kept = (
        Instance.objects.filter(client_id__in=ends).exclude(state__in=_GONE).order_by("client_id", "machine_id", "pk")
    )
    deleted = 0
    for client_id, rows in groupby(kept.values_list("client_id", "pk"), key=lambda row: row[0]):
        ids = [pk for _, pk in rows]
        delete = partial(_delete, instance_ids=ids)
        deleted += sum(swept(delete, instance_id=pk, ended_at=ends[client_id], now=now) for pk in ids)
    for client_id, ended_at in ends.items():
        deleted += unpaid_volumes_delete(owner_id=client_id, ended_at=ended_at, now=now)
    return deleted


@transaction.atomic
def _delete(instance_id: int, ended_at: datetime, now: datetime, *, instance_ids: Sequence[int]) -> bool:
    """``instance_ids`` are all that the client loses with it, for the notice."""
    instance = lock_instance(instance_id)
    if instance.state in (*_GONE, *states.CAN_STOP) or balance_micros(instance.client, now) > 0:
        return False
    end = disks_end_at(instance.client, now)  # None: those before it were all that cost anything
    if end is not None and end > now:
        return False
    instance_destroy_now(
        instance=instance, actor=None, billed_until=ended_at, now=now, reason="unpaid", message=MESSAGE
    )
    disks_deleted_tell(owner_id=instance.client_id, deleted_at=ended_at, instance_ids=instance_ids, now=now)
    return True
