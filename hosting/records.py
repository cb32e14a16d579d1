"""Reads what is recorded of machines, as the fold of ``hosting.domain.reliability`` takes it.

Everything is read as it was known at an instant, ``known_by``: what was recorded later is left out, so that figures of
the past can be computed anew and come out the same. Nothing takes effect more than ``LATEST_NEWS`` before it was
recorded; only an outage of our own may, and whoever keeps a standing has to look whether one did (``is_outdated``).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from hosting.domain.beta import Track
from hosting.domain.launches import Fault, fault_of
from hosting.domain.reliability import (
    Fact,
    Kind,
    Period,
    Record,
    Reliability,
    Standing,
    advance,
    beginning,
    midnight,
    reliability_of,
)
from hosting.models import GpuClaim, Machine, MachineEvent, QuietPeriod, ReliabilityStanding, Task

LATEST_NEWS = timedelta(minutes=10)
"""A silence is noticed much sooner; one that is told later begins this long before it was told."""
SETTLED_AFTER = timedelta(minutes=1)
"""Figures are those of a minute ago: by then what was being written has been committed."""
NEWS_MAY_COME_FOR = timedelta(minutes=15)
"""A midnight is summed up this long after it: by then nothing takes effect before it any more."""
OWN_OUTAGE = QuietPeriod.Kind.OWN_OUTAGE
MAINTENANCE = QuietPeriod.Kind.MAINTENANCE
_PLAIN = {"listed": Kind.LISTED, "unlisted": Kind.UNLISTED, "online": Kind.ONLINE, "launched": Kind.LAUNCHED}
_KINDS = (*_PLAIN, "offline", "engine", "launch_failed", "performance_check")


@dataclass(frozen=True, slots=True)
class Computed:
    """A machine's figures at an instant, with the standing of the latest midnight that nothing will change any more."""

    standing: Standing
    figures: Reliability


def own_outages(known_by: datetime) -> list[QuietPeriod]:
    """All outages of our own that were recorded by then."""
    return list(QuietPeriod.objects.filter(kind=OWN_OUTAGE, recorded_at__lte=known_by).order_by("pk"))


def is_outdated(row: ReliabilityStanding, ours: Collection[QuietPeriod]) -> bool:
    """Whether an outage of our own became known that lies in the time which this standing is the sum of."""
    return any(outage.recorded_at > row.advanced_at and outage.starts_at < row.as_of for outage in ours)


def standing_of(row: ReliabilityStanding) -> Standing:
    """The row as the fold takes it."""
    return Standing(
        as_of=row.as_of,
        availability=Track(row.up_hours, row.down_hours),
        launches=Track(row.launched, row.launch_failed),
        checks=Track(row.checks_passed, row.checks_failed),
        listed=row.listed,
        online=row.online,
        engine_works=row.engine_works,
        hit_seconds=row.hit_seconds,
    )


def records_of(
    machine_ids: Collection[int], *, since: datetime, known_by: datetime, ours: Collection[QuietPeriod]
) -> dict[int, Record]:
    """What is recorded of each machine from ``since`` on, in three queries for all of them."""
    facts = _facts(machine_ids, since, known_by)
    rented = _rented(machine_ids, since, known_by)
    maintenance = _maintenance(machine_ids, since, known_by)
    outages = tuple(_clipped(outage, known_by) for outage in ours if outage.ends_at > since)
    return {pk: Record(tuple(facts[pk]), tuple(rented[pk]), tuple(maintenance[pk]), outages) for pk in set(machine_ids)}


def reliability_compute(
    *, machine_ids: Collection[int], known_by: datetime, rows: dict[int, ReliabilityStanding]
) -> dict[int, Computed]:
    """The figures of these machines as of ``known_by``, going on from ``rows`` where they hold. Writes nothing."""
    ours = own_outages(known_by)
    going_on = {pk: standing_of(row) for pk, row in rows.items() if not is_outdated(row, ours)}
    anew = Machine.objects.filter(pk__in=set(machine_ids) - going_on.keys(), registered_at__lt=known_by)
    begun = anew.values_list("pk", "registered_at", "inherited_tracks")
    first = {pk: beginning(registered_at, inherited) for pk, registered_at, inherited in begun}
    return _computed(going_on, known_by, ours) | _computed(first, known_by, ours)


def standing_at(machine: Machine, known_by: datetime) -> Standing:
    """What everything that was recorded of the machine by then comes to."""
    first, ours = beginning(machine.registered_at, machine.inherited_tracks), own_outages(known_by)
    records = records_of([machine.pk], since=machine.registered_at, known_by=known_by, ours=ours)
    return advance(first, records[machine.pk], known_by)


def standing_before(machine: Machine, moment: datetime) -> Standing:
    """What state the machine was in at ``moment``, without any weights."""
    events = MachineEvent.objects.filter(machine=machine, at__lt=moment)
    listed = events.filter(kind__in=("listed", "unlisted")).order_by("-at", "-pk").first()
    online = events.filter(kind__in=("online", "offline")).order_by("-at", "-pk").first()
    engine = events.filter(kind="engine").order_by("-at", "-pk").first()
    return Standing(
        moment,
        listed=listed is not None and listed.kind == "listed",
        online=online is not None and online.kind == "online",
        engine_works=engine is None or _works(engine.details),
    )


def _computed(standings: dict[int, Standing], known_by: datetime, ours: Collection[QuietPeriod]) -> dict[int, Computed]:
    if not standings:
        return {}
    since = min(standing.as_of for standing in standings.values())
    records = records_of(standings.keys(), since=since, known_by=known_by, ours=ours)
    settled = midnight(known_by - NEWS_MAY_COME_FOR)
    computed = {}
    for pk, standing in standings.items():
        kept = advance(standing, records[pk], settled)
        computed[pk] = Computed(kept, reliability_of(advance(kept, records[pk], known_by)))
    return computed


def _facts(machine_ids: Collection[int], since: datetime, known_by: datetime) -> Mapping[int, list[Fact]]:
    found: dict[int, list[Fact]] = defaultdict(list)
    events = MachineEvent.objects.filter(machine_id__in=machine_ids, at__gte=since, at__lt=known_by, kind__in=_KINDS)
    for machine_id, at, kind, details in events.order_by("at", "pk").values_list("machine_id", "at", "kind", "details"):
        fact = _fact(at, kind, details)
        if fact is not None:
            found[machine_id].append(fact)
    for facts in found.values():
        facts.sort(key=lambda fact: fact.at)
    return found


def _fact(at: datetime, kind: str, details: dict[str, Any]) -> Fact | None:
    if kind in _PLAIN:
        return Fact(at, _PLAIN[kind])
    if kind == "offline":
        since = datetime.fromisoformat(details["since"]) if "since" in details else at
        return Fact(min(max(since, at - LATEST_NEWS), at), Kind.OFFLINE)
    if kind == "engine":
        return Fact(at, Kind.ENGINE_WORKS if _works(details) else Kind.ENGINE_FAILS)
    if kind == "performance_check":
        return Fact(at, Kind.CHECK_PASSED if details["passed"] else Kind.CHECK_FAILED)
    return Fact(at, Kind.LAUNCH_FAILED) if fault_of(details["reason"]) is Fault.HOST else None


def _works(details: dict[str, Any]) -> bool:
    """Older events did not note it in a word: in doubt for the machine."""
    return bool(details.get("works", True))


def _rented(machine_ids: Collection[int], since: datetime, known_by: datetime) -> Mapping[int, list[Period]]:
    found: dict[int, list[Period]] = defaultdict(list)
    claims = GpuClaim.objects.filter(
        Q(released_at=None) | Q(released_at__gt=since),
        gpu__machine_id__in=machine_ids,
        task__kind=Task.Kind.INSTANCE,
        claimed_at__lt=known_by,
    )
    for machine_id, start, end in claims.values_list("gpu__machine_id", "claimed_at", "released_at"):
        found[machine_id].append(Period(start, min(end or known_by, known_by)))
    return found


def _maintenance(machine_ids: Collection[int], since: datetime, known_by: datetime) -> Mapping[int, list[Period]]:
    found: dict[int, list[Period]] = defaultdict(list)
    periods = QuietPeriod.objects.filter(
        kind=MAINTENANCE, machine_id__in=machine_ids, ends_at__gt=since, starts_at__lt=known_by
    )
    for period in periods:
        if period.machine_id is not None:
            found[period.machine_id].append(_clipped(period, known_by))
    return found


def _clipped(period: QuietPeriod, known_by: datetime) -> Period:
    return Period(period.starts_at, min(period.ends_at, known_by))
