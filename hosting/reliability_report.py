"""What stands behind a machine's reliability, for its host."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from hosting.domain.launches import Fault, fault_of, words_of
from hosting.domain.reliability import Outage, Reliability, outages, stretches
from hosting.models import Machine, MachineEvent, ReliabilityStanding
from hosting.records import SETTLED_AFTER, own_outages, records_of, reliability_compute, standing_before

REPORTED = timedelta(days=30)


@dataclass(frozen=True)
class FailedLaunches:
    """Launches that failed for one reason, and whether that counts against the machine."""

    words: str
    count: int
    counts: bool


@dataclass(frozen=True)
class ReliabilityReport:
    """The figures and their parts, and what happened in the last ``REPORTED``. Outages are the latest first."""

    figures: Reliability
    outages: list[Outage]
    launched: int
    failures: list[FailedLaunches]
    checks_passed: int
    checks_failed: int

    @property
    def longest(self) -> Outage | None:
        """The outage of which most counts."""
        return max(self.outages, key=lambda outage: outage.counted, default=None)

    @property
    def down(self) -> timedelta:
        """Down-time that counts, without weights."""
        return sum((outage.counted for outage in self.outages), timedelta())

    @property
    def launches_failed(self) -> int:
        """Launches that failed by the host's fault."""
        return sum(failed.count for failed in self.failures if failed.counts)


def reliability_report(machine: Machine, *, now: datetime) -> ReliabilityReport:
    """The report as of a minute ago; an outage that began before the reported time is told from there on."""
    known_by = max(now - SETTLED_AFTER, machine.registered_at + timedelta(microseconds=1))
    rows = {row.machine_id: row for row in ReliabilityStanding.objects.filter(machine=machine)}
    computed = reliability_compute(machine_ids=[machine.pk], known_by=known_by, rows=rows)
    events = MachineEvent.objects.filter(machine=machine, at__gte=known_by - REPORTED)
    checks = Counter(events.filter(kind="performance_check").values_list("details__passed", flat=True))
    return ReliabilityReport(
        figures=computed[machine.pk].figures,
        outages=_outages(machine, known_by),
        launched=events.filter(kind="launched").count(),
        failures=_failures(Counter(events.filter(kind="launch_failed").values_list("details__reason", flat=True))),
        checks_passed=checks[True],
        checks_failed=checks[False],
    )


def _outages(machine: Machine, known_by: datetime) -> list[Outage]:
    since = max(known_by - REPORTED, machine.registered_at)
    record = records_of([machine.pk], since=since, known_by=known_by, ours=own_outages(known_by))[machine.pk]
    return outages(stretches(standing_before(machine, since), record, known_by))[::-1]


def _failures(reasons: Counter[str]) -> list[FailedLaunches]:
    return [
        FailedLaunches(words_of(reason), count, fault_of(reason) is Fault.HOST)
        for reason, count in reasons.most_common()
    ]
