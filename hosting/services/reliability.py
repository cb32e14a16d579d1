"""Keeps the reliability of machines equal to what is recorded of them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction
from django.db.models import QuerySet

from hosting import hooks
from hosting.domain.reliability import Reliability, Standing
from hosting.errors import HostingError
from hosting.locks import lock_idle_machines
from hosting.models import Machine, MachineEvent, ReliabilityStanding
from hosting.records import SETTLED_AFTER, Computed, reliability_compute

logger = structlog.get_logger(__name__)

BATCH_MACHINES = 500

_STANDING_COLUMNS = (
    "as_of",
    "up_hours",
    "down_hours",
    "launched",
    "launch_failed",
    "checks_passed",
    "checks_failed",
    "listed",
    "online",
    "engine_works",
    "hit_seconds",
    "availability",
    "launches",
    "checks",
    "advanced_at",
    "computed_at",
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A machine whose stored figures (shown, lower) are not what its events come to at the same instant."""

    machine_id: int
    as_of: datetime
    stored: tuple[float, float]
    computed: tuple[float, float]


def performance_check_record(
    *, machine_id: int, passed: bool, at: datetime, details: dict[str, Any] | None = None
) -> MachineEvent:
    """Record that the machine was checked to perform as it claims, and with what result.

    ``at`` is the present instant; ``details`` are kept for whoever asks what was measured.
    Raises HostingError(no_such_machine, 404).
    """
    machine = Machine.objects.filter(pk=machine_id, removed_at=None).first()
    if machine is None:
        raise HostingError("no_such_machine", f"There is no machine {machine_id}.", status=404)
    return MachineEvent.objects.create(
        machine=machine,
        at=at,
        kind="performance_check",
        message="passed" if passed else "failed",
        details=(details or {}) | {"passed": passed},
    )


def reliability_sweep(*, now: datetime) -> int:
    """Compute the reliability of every machine as of a minute ago; returns how many have changed.

    Costs four queries for a batch of machines, and writes only where the figures or the day have changed. Machines that
    others are busy with come next time.
    """
    known = Machine.objects.filter(removed_at=None, registered_at__lt=now - SETTLED_AFTER)
    ids = list(known.order_by("pk").values_list("pk", flat=True))
    return sum(_refresh_alone(batch, now) for batch in _batches(ids))


def _refresh_alone(machine_ids: Sequence[int], now: datetime) -> int:
    """Like ``reliability_refresh``, but a batch that fails is gone through one by one: one holds up no other."""
    try:
        return reliability_refresh(machine_ids=machine_ids, now=now)
    except Exception:
        if len(machine_ids) == 1:
            logger.exception("reliability_failed", machine_id=machine_ids[0])
            return 0
        logger.warning("reliability_batch_failed", machines=len(machine_ids), exc_info=True)
    return sum(_refresh_alone([machine_id], now) for machine_id in machine_ids)


def reliability_refresh(*, machine_ids: Collection[int], now: datetime, from_scratch: bool = False) -> int:
    """Compute and store the reliability of these machines as of a minute ago; returns how many have changed.

    ``from_scratch`` goes over all events again instead of going on from what was stored.
    """
    known_by = now - SETTLED_AFTER
    rows = {} if from_scratch else {row.machine_id: row for row in _rows(machine_ids)}
    computed = reliability_compute(machine_ids=machine_ids, known_by=known_by, rows=rows)
    return _store(computed, rows, known_by)


def reliability_differences(*, machine_ids: Collection[int] | None = None) -> tuple[int, list[Difference]]:
    """Go over everything that is recorded of these machines, or of all, as of when their figures were computed.

    Returns how many machines were compared and those whose stored figures differ. Machines whose figures were never
    computed have nothing to compare. Writes nothing.
    """
    rows = ReliabilityStanding.objects.select_related("machine").filter(machine__removed_at=None).order_by("pk")
    if machine_ids is not None:
        rows = rows.filter(pk__in=machine_ids)
    compared, found = 0, []
    for row in rows.iterator():
        compared += 1
        anew = reliability_compute(machine_ids=[row.machine_id], known_by=row.computed_at, rows={})
        figures = anew[row.machine_id].figures
        stored, computed = (row.machine.reliability, row.machine.reliability_lower), (figures.shown, figures.lower)
        if stored != computed:
            found.append(Difference(row.machine_id, row.computed_at, stored, computed))
    return compared, found


@transaction.atomic
def _store(computed: dict[int, Computed], rows: dict[int, ReliabilityStanding], known_by: datetime) -> int:
    news = [pk for pk, one in computed.items() if pk not in rows or rows[pk].as_of != one.standing.as_of]
    stale = Machine.objects.filter(pk__in=computed).values_list("pk", "reliability", "reliability_lower")
    changed = {pk for pk, *figures in stale if figures != [computed[pk].figures.shown, computed[pk].figures.lower]}
    locked = lock_idle_machines(changed | set(news))
    newer = _rows([machine.pk for machine in locked]).filter(computed_at__gt=known_by)
    overtaken = set(newer.values_list("pk", flat=True))
    machines = [machine for machine in locked if machine.pk not in overtaken]
    for machine in machines:
        figures = computed[machine.pk].figures
        machine.reliability, machine.reliability_lower = figures.shown, figures.lower
    moved = [machine for machine in machines if machine.pk in changed]
    Machine.objects.bulk_update(moved, ["reliability", "reliability_lower"])
    hooks.market().reliability_changed([machine.pk for machine in moved])
    _store_standings({machine.pk: computed[machine.pk] for machine in machines}, known_by)
    return len(moved)


def _store_standings(computed: dict[int, Computed], known_by: datetime) -> None:
    ReliabilityStanding.objects.bulk_create(
        [_row(pk, one.standing, one.figures, known_by) for pk, one in computed.items()],
        update_conflicts=True,
        unique_fields=["machine"],
        update_fields=_STANDING_COLUMNS,
    )


def _row(machine_id: int, standing: Standing, figures: Reliability, known_by: datetime) -> ReliabilityStanding:
    return ReliabilityStanding(
        machine_id=machine_id,
        as_of=standing.as_of,
        up_hours=standing.availability.good,
        down_hours=standing.availability.bad,
        launched=standing.launches.good,
        launch_failed=standing.launches.bad,
        checks_passed=standing.checks.good,
        checks_failed=standing.checks.bad,
        listed=standing.listed,
        online=standing.online,
        engine_works=standing.engine_works,
        hit_seconds=standing.hit_seconds,
        availability=figures.availability,
        launches=figures.launches,
        checks=figures.checks,
        advanced_at=known_by,
        computed_at=known_by,
    )


def _rows(machine_ids: Collection[int]) -> QuerySet[ReliabilityStanding]:
    return ReliabilityStanding.objects.filter(machine_id__in=machine_ids)


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + BATCH_MACHINES] for start in range(0, len(ids), BATCH_MACHINES))
