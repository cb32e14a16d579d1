"""Joins measurements to coarser ones as they grow older, and deletes them in the end."""

from datetime import datetime, timedelta
from itertools import pairwise

import structlog
from django.db import transaction

from hosting.domain.telemetry import KEPT_FOR, LEVELS, Level, in_slots, packed, slot_start, unpacked
from hosting.locks import lock_telemetry_windows
from hosting.models import TelemetryWindow
from hosting.telemetry import stored_windows

logger = structlog.get_logger(__name__)


def telemetry_sweep(*, now: datetime) -> int:
    """One round over all machines; returns how many windows were joined or deleted."""
    joined = sum(_join_level(number, fine, coarse, now) for number, (fine, coarse) in enumerate(pairwise(LEVELS)))
    deleted, _ = TelemetryWindow.objects.filter(started_at__lt=now - KEPT_FOR).delete()
    return joined + deleted


def _join_level(number: int, fine: Level, coarse: Level, now: datetime) -> int:
    """Whole slots only, so that each is joined once."""
    before = slot_start(now - fine.until, coarse.length)
    due = TelemetryWindow.objects.filter(level=number, started_at__lt=before)
    machines = due.order_by("machine_id").values_list("machine_id", flat=True).distinct()
    return sum(_join_alone(machine_id, number, coarse, before) for machine_id in machines)


def _join_alone(machine_id: int, number: int, coarse: Level, before: datetime) -> int:
    """A machine whose measurements can't be joined holds up no other."""
    try:
        return windows_join(machine_id=machine_id, level=number, length=coarse.length, before=before)
    except Exception:
        logger.exception("telemetry_join_failed", machine_id=machine_id)
        return 0


@transaction.atomic
def windows_join(*, machine_id: int, level: int, length: timedelta, before: datetime) -> int:
    """Replace the machine's windows of a level that began before a moment by one for each slot of the next level.

    Windows that can't be read are dropped, and so would be a joined one: nothing is written that pages can't show.
    """
    rows = lock_telemetry_windows(machine_id, level, before)
    slots = in_slots(stored_windows(machine_id, ((row.started_at, row.ended_at, row.content) for row in rows)), length)
    joined = [(window, packed(window.content)) for window in slots.values()]
    TelemetryWindow.objects.bulk_create(
        TelemetryWindow(
            machine_id=machine_id,
            started_at=window.started_at,
            ended_at=window.ended_at,
            level=level + 1,
            content=content,
        )
        for window, content in joined
        if unpacked(content) is not None
    )
    TelemetryWindow.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows)
