"""Finds measurements that hang, those whose pause is over, and machines that are due for one."""

from collections.abc import Callable, Iterable
from datetime import datetime

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, Exists, F, OuterRef, Q, QuerySet, Subquery

from hosting import hooks
from hosting.domain import measuring as rules
from hosting.domain.measuring import Past
from hosting.locks import lock_machine
from hosting.models import GpuClaim, Listing, Machine, MachineEvent, Measurement, Task
from hosting.selectors import dlperf_image, hardware_of
from hosting.services.measuring import benchmark_order, measurement_fail, measurement_try_again

logger = structlog.get_logger(__name__)

ASKED_AT_ONCE = 100
"""By one sweep; the others' turn comes with the next."""
_TOO_LATE = {
    "start_timeout": f"Its container did not start within {rules.START_LIMIT.seconds // 3600} hours.",
    "run_timeout": f"It had no result {rules.RUN_LIMIT.seconds // 60} minutes after its start.",
}


def measurements_sweep(*, now: datetime) -> int:
    """End what hangs, begin what may begin, ask for what is due; returns on how many machines something was done.

    Each machine in a transaction of its own: one that fails is logged and holds up no other.
    """
    hanging = _each(_overdue(now), lambda pk: _end_overdue(pk, now))
    startable = _each(_startable(now), lambda pk: _look_at(pk, now))
    return hanging + startable + _each(_perhaps_due(now), lambda pk: _ask_if_due(pk, now))


def _each(machine_ids: Iterable[int], act: Callable[[int], bool]) -> int:
    return sum(_alone(machine_id, act) for machine_id in list(machine_ids))


def _alone(machine_id: int, act: Callable[[int], bool]) -> bool:
    try:
        with transaction.atomic():
            return act(machine_id)
    except Exception:
        logger.exception("measurement_sweep_failed", machine_id=machine_id)
        return False


def _overdue(now: datetime) -> QuerySet[Measurement, int]:
    late = Q(running_since__lt=now - rules.RUN_LIMIT) | Q(
        running_since__isnull=True, ordered_at__lt=now - rules.START_LIMIT
    )
    found = Measurement.objects.filter(late, state=rules.RUNNING)
    return found.order_by("machine_id").values_list("machine_id", flat=True)


def _end_overdue(machine_id: int, now: datetime) -> bool:
    machine = lock_machine(machine_id)
    measurement = Measurement.objects.filter(machine=machine, state=rules.RUNNING).select_related("task").first()
    if measurement is None or measurement.ordered_at is None:
        return False
    measurement.machine = machine
    problem = rules.overdue(ordered_at=measurement.ordered_at, running_since=measurement.running_since, now=now)
    if not problem:
        return False
    if machine.online:
        measurement_fail(measurement=measurement, problem=problem, message=_TOO_LATE[problem], now=now)
    else:
        message = "The machine went offline before it told its result."
        measurement_try_again(measurement=measurement, problem="offline", message=message, now=now)
    hooks.market().machine_changed(machine, now)
    return True


def _startable(now: datetime) -> QuerySet[Measurement, int]:
    """Machines where one waits though no guest has a GPU, and no earlier container of it either."""
    held = GpuClaim.objects.filter(gpu__machine=OuterRef("machine"), released_at=None)
    machine = Machine.objects.filter(online=True, engine_error="", removed_at=None)
    found = Measurement.objects.filter(
        ~Exists(held.exclude(task__kind=Task.Kind.IDLE_JOB)),
        state=rules.WAITING,
        not_before__lte=now,
        machine__in=machine,
    )
    return found.order_by("machine_id").values_list("machine_id", flat=True)


def _look_at(machine_id: int, now: datetime) -> bool:
    hooks.market().machine_changed(lock_machine(machine_id), now)
    return True


def _perhaps_due(now: datetime) -> QuerySet[Machine, int]:
    """Machines that may be due for a benchmark: all that are, and those whose facts changed since the last.

    Simulated machines are not measured by themselves: their number would say nothing, and they share one computer.
    """
    if not settings.DLPERF_IMAGE:
        return Machine.objects.none().values_list("pk", flat=True)
    latest = Measurement.objects.filter(machine=OuterRef("pk"), kind=Measurement.Kind.BENCHMARK)
    opened = latest.filter(state__in=rules.OPEN)
    failed = latest.filter(state=rules.FAILED, finished_at__gt=now - rules.RETRY_AFTER)
    failed_at = failed.order_by("-finished_at").values("finished_at")[:1]
    mended = MachineEvent.objects.filter(machine=OuterRef("pk"), kind="inventory", at__gte=OuterRef("failed_at"))
    measured_at = latest.filter(state=rules.SUCCEEDED).order_by("-finished_at").values("finished_at")[:1]
    changed = MachineEvent.objects.filter(machine=OuterRef("pk"), kind="inventory", at__gte=OuterRef("measured_at"))
    listed = Listing.objects.filter(
        machine=OuterRef("pk"), active=True, listed_at__gt=OuterRef("measured_at") + rules.LISTED_AFTER
    )
    return (
        Machine.objects.filter(online=True, engine_error="", removed_at=None, simulated=False)
        .annotate(
            measured_at=Subquery(measured_at, output_field=DateTimeField()),
            failed_at=Subquery(failed_at, output_field=DateTimeField()),
        )
        .filter(~Exists(opened), Q(failed_at=None) | Exists(mended))
        .filter(Q(measured_at=None) | Q(measured_at__lte=now - rules.MEASURED_EVERY) | Exists(changed) | Exists(listed))
        .order_by(F("measured_at").asc(nulls_first=True), "pk")
        .values_list("pk", flat=True)[:ASKED_AT_ONCE]
    )


def _ask_if_due(machine_id: int, now: datetime) -> bool:
    machine = lock_machine(machine_id)
    listing = Listing.objects.filter(machine=machine, active=True).first()
    reason = rules.due_reason(
        _past(machine), hardware=hardware_of(machine), listed_at=listing.listed_at if listing else None, now=now
    )
    if not reason or not dlperf_image(machine):
        return False
    benchmark_order(machine_id=machine_id, reason=reason, now=now)
    return True


def _past(machine: Machine) -> Past:
    known = Measurement.objects.filter(machine=machine, kind=Measurement.Kind.BENCHMARK).order_by("-finished_at")
    measured = known.filter(state=rules.SUCCEEDED).first()
    failed = known.filter(state=rules.FAILED).first()
    return Past(
        measured_at=measured.finished_at if measured else None,
        hardware=measured.hardware if measured else "",
        failed_at=failed.finished_at if failed else None,
        failed_hardware=failed.hardware if failed else "",
    )
