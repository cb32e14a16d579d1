"""Finds machines whose agents fell silent."""

from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction

from hosting import hooks
from hosting.gateways import presence
from hosting.locks import lock_machine
from hosting.models import Machine
from hosting.services.events import machine_event
from hosting.services.quiet_periods import pulse_beat

logger = structlog.get_logger(__name__)

SWEEP_MEMORY_SECONDS = 20
SAME_MOMENT = timedelta(seconds=1)
"""Redis and PostgreSQL round instants differently."""


def machines_sweep_offline(*, now: datetime) -> int:
    """Mark machines offline whose agents have been silent for MACHINE_OFFLINE_AFTER_SECONDS; returns how many.

    When this sweep itself did not run lately, the silence may be our own fault: everybody then counts as seen now and
    nobody is marked before the limit has passed once more. The time that it was away is nobody's down-time.
    """
    pulse_beat(now=now)
    online = Machine.objects.filter(online=True, removed_at=None).values_list("pk", flat=True)
    if not presence.sweep_beat(now, SWEEP_MEMORY_SECONDS):
        for machine_id in online:
            presence.beat(machine_id, now)
        return 0
    presence.adopt(online, now)
    limit = now - timedelta(seconds=settings.MACHINE_OFFLINE_AFTER_SECONDS)
    silent = dict(presence.silent_since(limit))
    return sum(_mark_alone(pk, silent[pk], now) for pk in online if pk in silent)


def _mark_alone(machine_id: int, last_seen_at: datetime, now: datetime) -> bool:
    """Like ``machine_mark_offline``, but a machine that can't be marked holds up no other."""
    try:
        return machine_mark_offline(machine_id=machine_id, last_seen_at=last_seen_at, now=now)
    except Exception:
        logger.exception("offline_sweep_failed", machine_id=machine_id)
        return False


@transaction.atomic
def machine_mark_offline(*, machine_id: int, last_seen_at: datetime, now: datetime) -> bool:
    """Mark one machine offline unless it spoke in the meantime; returns whether it was marked."""
    machine = lock_machine(machine_id)
    latest = presence.last_seen(machine_id)
    if not machine.online or (latest is not None and latest > last_seen_at):
        return False
    if machine.last_seen_at is not None and machine.last_seen_at > last_seen_at + SAME_MOMENT:
        return False  # a report was just written whose heartbeat is on its way
    machine.online = False
    machine.save(update_fields=["online"])
    message = f"last heard at {last_seen_at:%Y-%m-%d %H:%M:%S} UTC"
    machine_event(machine, "offline", now=now, message=message, since=last_seen_at.isoformat())
    presence.forget(machine_id)
    hooks.market().machine_went_offline(machine, last_seen_at)
    hooks.market().machine_changed(machine, now)
    return True
