"""How much of machines' GPUs was rented."""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db.models import F, Q, Sum
from django.db.models.functions import Coalesce, Greatest, Least
from django.db.models.query import QuerySet

from hosting.models import GpuClaim, Task


def rented_gpu_time(since: datetime, now: datetime, machine_ids: Collection[int] | None = None) -> dict[int, timedelta]:
    """GPU-time for which clients held GPUs of these machines, or of all, after ``since``; left out where none was."""
    claims: QuerySet[GpuClaim] = GpuClaim.objects.filter(
        Q(released_at=None) | Q(released_at__gt=since), task__kind=Task.Kind.INSTANCE, claimed_at__lt=now
    )
    if machine_ids is not None:
        claims = claims.filter(gpu__machine_id__in=machine_ids)
    held = Least(Coalesce(F("released_at"), now), now) - Greatest(F("claimed_at"), since)
    return dict(claims.order_by().values_list("gpu__machine_id").annotate(time=Sum(held)))
