"""Sums up what machines brought in, for estimates that anybody may ask for."""

from datetime import datetime, timedelta

from django.db import transaction

from billing.selectors import earned_by_earner
from hosting.domain.earning_estimate import WINDOW_DAYS
from hosting.models import Machine, MachineYield
from hosting.occupancy import rented_gpu_time

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
STALE_AFTER = timedelta(minutes=30)


def yields_refresh(*, now: datetime) -> int:
    """Sum up anew when the present sums are STALE_AFTER old, or there are none."""
    if MachineYield.objects.filter(computed_at__gt=now - STALE_AFTER).exists():
        return 0
    return yields_compute(now=now)


@transaction.atomic
def yields_compute(*, now: datetime) -> int:
    """Sum up every machine that is listed or was rented in the window, anew; returns how many those are."""
    since = now - WINDOW_DAYS * DAY
    earned, rented = earned_by_earner(since, now), rented_gpu_time(since, now)
    machines = [
        machine
        for machine in Machine.objects.select_related("listing").filter(registered_at__lt=now)
        if machine.pk in rented or _is_offered(machine)
    ]
    rows = [
        MachineYield(
            machine=machine,
            computed_at=now,
            days=(min(now, machine.removed_at or now) - max(since, machine.registered_at)) / DAY,
            earned_micros=earned.get(f"machine:{machine.pk}", 0),
            rented_gpu_hours=rented.get(machine.pk, timedelta()) / HOUR,
        )
        for machine in machines
    ]
    MachineYield.objects.all().delete()
    MachineYield.objects.bulk_create([row for row in rows if row.days > 0])
    return len(rows)


def _is_offered(machine: Machine) -> bool:
    listing = getattr(machine, "listing", None)
    return machine.removed_at is None and listing is not None and listing.active
