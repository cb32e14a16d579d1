"""The cards of a host's machines: what they earned, how much of them was rented, what wants attention.

As many queries for a hundred machines as for one.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.contrib.auth.base_user import AbstractBaseUser

from billing.selectors import EarningNow, UseSum, earning_now, earnings_by
from dlperf.domain.score import Score
from hosting.domain.machine_alerts import Alert, AlertFacts, alerts
from hosting.domain.reliability import beginning, reliability_of
from hosting.models import Gpu, Machine, Measurement, ReliabilityStanding
from hosting.occupancy import rented_gpu_time
from hosting.reports_shown import open_reports
from hosting.selectors import bid_floor_micros, gpu_scores_of, listed_sandbox_problem
from hosting.telemetry import MachineNow, machines_now

if TYPE_CHECKING:
    from hosting.selectors import MachineInUse

WEEK = timedelta(days=7)
MONTH = timedelta(days=30)


@dataclass
class Earned:
    """Micro-dollars of the host's part: of today (UTC), of the last 7 and 30 days, and these 30 days by use."""

    today: int = 0
    week: int = 0
    month: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Parts:
    """What a machine's reliability is made of, each 0..1."""

    availability: float
    launches: float
    checks: float


@dataclass
class Earning:
    """The host's part of what runs now, in micro-dollars per hour: of each rental whose GPUs run, by its reference, and
    of all disks and volumes that are kept besides."""

    rentals: dict[str, int] = field(default_factory=dict)
    kept: int = 0

    @property
    def total(self) -> int:
        return sum(self.rentals.values()) + self.kept


@dataclass(frozen=True)
class MachineCard:
    """A machine with what its card says."""

    machine: "MachineInUse"
    earned: Earned
    earning: Earning
    occupancy_percent: int
    alerts: list[Alert]
    dlperf: Score | None
    """Of one GPU; None without any GPU."""

    @property
    def parts(self) -> Parts:
        """Of the reliability that is shown; of one without history as long as it has not been computed."""
        row: ReliabilityStanding | None = getattr(self.machine, "standing", None)
        if row is not None and None not in (row.availability, row.launches, row.checks):
            return Parts(row.availability or 0.0, row.launches or 0.0, row.checks or 0.0)
        first = reliability_of(beginning(self.machine.registered_at, self.machine.inherited_tracks))
        return Parts(first.availability, first.launches, first.checks)

    @property
    def bid_floor_micros(self) -> int:
        """The least bid for a GPU and hour, in micro-dollars."""
        return bid_floor_micros(self.machine)


def machine_cards(host: AbstractBaseUser, machines: "Sequence[MachineInUse]", now: datetime) -> list[MachineCard]:
    """A card for each of the host's machines, as ``hosting.selectors.machines_of`` has them."""
    ids = [machine.pk for machine in machines]
    earned = _earned(earnings_by(host, ["earner", "day", "kind"], now - MONTH, now, now), now)
    earning = _earning(earning_now(host))
    rented = rented_gpu_time(now - WEEK, now, ids)
    facts = _Facts(ids)
    return [
        MachineCard(
            machine,
            earned.get(f"machine:{machine.pk}", Earned()),
            earning.get(f"machine:{machine.pk}", Earning()),
            _occupancy_percent(machine, rented.get(machine.pk, timedelta()), now),
            alerts(facts.of(machine), now),
            facts.dlperf(machine),
        )
        for machine in machines
    ]


def _earned(sums: Iterable[UseSum], now: datetime) -> dict[str, Earned]:
    found: dict[str, Earned] = {}
    today = now.date()
    for each in sums:
        earned = found.setdefault(each.earner, Earned())
        earned.month += each.amount_micros
        earned.by_kind[each.kind] = earned.by_kind.get(each.kind, 0) + each.amount_micros
        if each.day is not None and each.day > today - WEEK:
            earned.week += each.amount_micros
        if each.day == today:
            earned.today += each.amount_micros
    return found


def _earning(running: Sequence[EarningNow]) -> dict[str, Earning]:
    found: dict[str, Earning] = {}
    with_gpus = {each.thing for each in running if each.is_gpu}
    for each in running:
        earning = found.setdefault(each.earner, Earning())
        if each.thing in with_gpus:
            earning.rentals[each.thing] = earning.rentals.get(each.thing, 0) + each.micros_per_hour
        else:
            earning.kept += each.micros_per_hour
    return found


def _occupancy_percent(machine: Machine, rented: timedelta, now: datetime) -> int:
    """Of the last week, or of the time since the machine joined."""
    there = min(WEEK, now - machine.registered_at)
    possible = machine.gpu_count * there
    return round(100 * min(1.0, rented / possible)) if possible > timedelta() else 0


def _disk_used_percent(now: MachineNow | None) -> float | None:
    if now is None or now.machine.disk_used_gb is None or now.machine.disk_free_gb is None:
        return None
    whole = now.machine.disk_used_gb + now.machine.disk_free_gb
    return 100 * now.machine.disk_used_gb / whole if whole else None


class _Facts:
    """What the alerts of many machines are judged by."""

    def __init__(self, machine_ids: Sequence[int]) -> None:
        gpus = list(Gpu.objects.filter(machine_id__in=machine_ids, present=True).order_by("machine_id", "-index"))
        self._unhealthy = Counter(gpu.machine_id for gpu in gpus if gpu.unhealthy_reason)
        self._first_gpu = {gpu.machine_id: gpu for gpu in gpus}
        self._reports = open_reports(machine_ids)
        latest = Measurement.objects.filter(machine_id__in=machine_ids, score__isnull=False)
        latest = latest.order_by("machine_id", "-finished_at").distinct("machine_id")
        flags = list(latest.values_list("machine_id", "is_drop", "is_implausible"))
        self._slower = {pk for pk, is_drop, _ in flags if is_drop}
        self._implausible = {pk for pk, _, is_implausible in flags if is_implausible}
        self._now = machines_now(machine_ids)

    def dlperf(self, machine: Machine) -> Score | None:
        gpu = self._first_gpu.get(machine.pk)
        return gpu_scores_of(machine, gpu).balanced if gpu is not None else None

    def of(self, machine: "MachineInUse") -> AlertFacts:
        listing = getattr(machine, "listing", None)
        return AlertFacts(
            online=machine.online,
            last_seen_at=machine.last_seen_at,
            suspended=machine.suspended_at is not None,
            engine_error=machine.engine_error,
            unhealthy_gpus=self._unhealthy[machine.pk],
            case_open=machine.case_open,
            open_reports=self._reports.get(machine.pk, 0),
            sandbox_problem=listed_sandbox_problem(machine),
            slower_than_usual=machine.pk in self._slower,
            implausible=machine.pk in self._implausible,
            disk_used_percent=_disk_used_percent(self._now.get(machine.pk)),
            failed_agent_version=machine.agent_failed_version,
            listed_until=listing.end_at if listing is not None and listing.active else None,
        )
