"""Where volumes can be rented: every listed machine whose agent keeps them, rented out or not.

The machine's offer of all its GPUs stands for it: its terms for storage are the volume's.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from hosting.models import Machine, Volume
from marketplace.domain.query import RENTABLE, Condition, OfferQuery
from marketplace.models import Instance
from marketplace.search import search_offers

MOST_READ = 1000
_WHOLE = (Condition("gpu_frac", "gte", 1.0), Condition("disk_space", "gte", 1.0))


def search_volume_offers(query: OfferQuery, *, now: datetime) -> list[dict[str, Any]]:
    """The machines that meet the query, in its order, as offers."""
    conditions = tuple(each for each in query.conditions if each != RENTABLE) + _WHOLE
    found = search_offers(replace(query, conditions=conditions, limit=MOST_READ), now=now)
    able = {
        machine.pk
        for machine in Machine.objects.filter(pk__in={row["machine_id"] for row in found}, online=True)
        if machine.keeps_volumes
    }
    return [row for row in found if row["machine_id"] in able][: query.limit]


def instances_on(volumes: list[Volume]) -> dict[int, list[Instance]]:
    """The instances that each of the volumes is attached to, by the volume's number."""
    found = (
        Instance.objects.filter(task__volume_mounts__volume__in=volumes, task__removed_at=None)
        .select_related("task")
        .prefetch_related("task__volume_mounts")
        .distinct()
        .order_by("pk")
    )
    attached: dict[int, list[Instance]] = {}
    for instance in found:
        for mount in instance.task.volume_mounts.all():
            attached.setdefault(mount.volume_id, []).append(instance)
    return attached
