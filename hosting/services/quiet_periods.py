"""Time that does not count against machines."""

from datetime import datetime, timedelta

import structlog
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting import hooks
from hosting.access import lock_own_machine
from hosting.domain.maintenance import MOST_A_DAY, NOTE_CHARS, problem
from hosting.errors import HostingError
from hosting.locks import lock_machine, lock_pulse, lock_quiet_period
from hosting.market_prices import maintenance_of
from hosting.models import Machine, Pulse, QuietPeriod
from hosting.services.events import machine_event

logger = structlog.get_logger(__name__)

PULSE = "offline sweep"
PULSE_MISSED_AFTER = timedelta(seconds=20)
"""As long as the sweep that comes every five seconds may be late without anything being wrong."""


@transaction.atomic
def pulse_beat(*, now: datetime) -> QuietPeriod | None:
    """Note that the sweeper of silent machines runs. When it had been away, that was an outage of ours: returns it."""
    pulse = lock_pulse(PULSE, now)
    away_since = pulse.at
    if now <= away_since:
        return None
    Pulse.objects.filter(pk=PULSE).update(at=now)
    if now - away_since <= PULSE_MISSED_AFTER:
        return None
    logger.warning("own_outage", since=away_since.isoformat(), until=now.isoformat())
    return own_outage_record(starts_at=away_since, ends_at=now, actor=None, note="The sweeper did not run.", now=now)


@transaction.atomic
def own_outage_record(
    *, starts_at: datetime, ends_at: datetime, actor: AbstractBaseUser | None, note: str, now: datetime
) -> QuietPeriod:
    """Record that the marketplace did not work. It counts for and against nobody: the next sweep corrects the figures.

    Raises HostingError(bad_period) for one that is not over or has no length.
    """
    if not starts_at < ends_at <= now:
        raise HostingError("bad_period", "An outage of ours begins before it ends, and has ended.", field="ends_at")
    return QuietPeriod.objects.create(
        kind=QuietPeriod.Kind.OWN_OUTAGE,
        starts_at=starts_at,
        ends_at=ends_at,
        recorded_at=now,
        actor_id=actor.pk if actor else None,
        note=note,
    )


@transaction.atomic
def maintenance_announce(
    *,
    machine_id: int,
    starts_at: datetime,
    ends_at: datetime,
    actor: AbstractBaseUser | None,
    note: str,
    now: datetime,
) -> QuietPeriod:
    """Announce maintenance of a machine: down-time in it does not count while nobody rents.

    Its clients are told. Raises HostingError: no_such_machine (404), bad_period for what domain.maintenance refuses.
    """
    try:
        machine = lock_machine(machine_id)
    except Machine.DoesNotExist:
        raise HostingError("no_such_machine", f"There is no machine {machine_id}.", status=404) from None
    return _announce(machine, starts_at, ends_at, actor, note, now)


@transaction.atomic
def own_maintenance_announce(
    *, machine_id: int, host: AbstractBaseUser, starts_at: datetime, ends_at: datetime, note: str, now: datetime
) -> QuietPeriod:
    """The same for a host's own machine, once at a time.

    Raises HostingError: no_such_machine (404), bad_period, already_announced (409), too_many_announcements (429).
    """
    machine = lock_own_machine(machine_id, host)
    if len(note) > NOTE_CHARS:
        raise HostingError("bad_period", f"A note has at most {NOTE_CHARS} characters.", field="note")
    known = next((one for one in maintenance_of([machine.pk], max(starts_at, now)) if one.starts_at < ends_at), None)
    if known is not None:
        span = f"{known.starts_at:%Y-%m-%d %H:%M} to {known.ends_at:%Y-%m-%d %H:%M} UTC"
        message = f"Maintenance is announced from {span} already. Call that off first."
        raise HostingError("already_announced", message, field="starts_at", status=409)
    lately = QuietPeriod.objects.filter(machine=machine, kind=QuietPeriod.Kind.MAINTENANCE, actor_id=host.pk)
    if lately.filter(recorded_at__gt=now - timedelta(days=1)).count() >= MOST_A_DAY:
        message = (
            f"You have announced maintenance of this machine {MOST_A_DAY} times within a day. Its clients were told."
        )
        raise HostingError("too_many_announcements", message, status=429)
    return _announce(machine, starts_at, ends_at, host, note, now)


@transaction.atomic
def own_maintenance_cancel(*, machine_id: int, host: AbstractBaseUser, now: datetime) -> int:
    """Call off, or end, all maintenance of a host's own machine that is not over; returns how much that was.

    Raises HostingError(no_such_machine, 404).
    """
    machine = lock_own_machine(machine_id, host)
    due = maintenance_of([machine.pk], now)
    return len([maintenance_end(period_id=period.pk, actor=host, now=now) for period in due])


def _announce(
    machine: Machine,
    starts_at: datetime,
    ends_at: datetime,
    actor: AbstractBaseUser | None,
    note: str,
    now: datetime,
) -> QuietPeriod:
    wrong = problem(starts_at, ends_at, now)
    if wrong is not None:
        raise HostingError("bad_period", wrong[1], field=wrong[0])
    period = QuietPeriod.objects.create(
        kind=QuietPeriod.Kind.MAINTENANCE,
        machine=machine,
        starts_at=starts_at,
        ends_at=ends_at,
        recorded_at=now,
        actor_id=actor.pk if actor else None,
        note=note,
    )
    message = f"from {starts_at:%Y-%m-%d %H:%M} to {ends_at:%Y-%m-%d %H:%M} UTC"
    machine_event(machine, "maintenance_announced", now=now, actor=actor, message=message, period=period.pk)
    hooks.market().maintenance_announced(machine, period, now)
    return period


@transaction.atomic
def maintenance_end(*, period_id: int, actor: AbstractBaseUser | None, now: datetime) -> QuietPeriod:
    """End announced maintenance now, or call it off before it begins. What has passed of it stays as it was.

    Raises HostingError(no_such_period, 404).
    """
    machine_id = QuietPeriod.objects.filter(pk=period_id).values_list("machine_id", flat=True).first()
    machine = lock_machine(machine_id) if machine_id is not None else None
    period = lock_quiet_period(period_id)
    if period is None or machine is None:
        raise HostingError("no_such_period", f"There is no maintenance {period_id}.", status=404)
    ends_at = min(period.ends_at, max(period.starts_at, now))
    if ends_at != period.ends_at:
        period.ends_at = ends_at
        period.save(update_fields=["ends_at"])
        machine_event(machine, "maintenance_ended", now=now, actor=actor, period=period.pk)
        hooks.market().maintenance_ended(machine, period, now)
    return period
