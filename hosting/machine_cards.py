"""The cards of a host's machines: what they earned, how much of them was rented, what wants attention.

As many queries for a hundred machines as for one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Count

from billing.selectors import UseSum, earnings_by
from hosting.domain.machine_alerts import Alert, AlertFacts, alerts
from hosting.domain.verification import CASES_UNDECIDED
from hosting.models import Gpu, Machine, Measurement, VerificationCase
from hosting.occupancy import rented_gpu_time
from hosting.reports_shown import open_reports
from hosting.selectors import bid_floor_micros, listed_sandbox_problem
from hosting.telemetry import MachineNow, machines_now

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
class MachineCard:
    """A machine with what its card says."""

    machine: Machine
    earned: Earned
    occupancy_percent: int
    alerts: list[Alert]

    @property
    def bid_floor_micros(self) -> int:
        """The least bid for a GPU and hour, in micro-dollars."""
        return bid_floor_micros(self.machine)


def machine_cards(host: AbstractBaseUser, machines: Sequence[Machine], now: datetime) -> list[MachineCard]:
    """A card for each of the host's machines."""
    ids = [machine.pk for machine in machines]
    earned = _earned(earnings_by(host, ["earner", "day", "kind"], now - MONTH, now, now), now)
    rented = rented_gpu_time(now - WEEK, now, ids)
    facts = _Facts(ids)
    return [
        MachineCard(
            machine,
            earned.get(f"machine:{machine.pk}", Earned()),
            _occupancy_percent(machine, rented.get(machine.pk, timedelta()), now),
            alerts(facts.of(machine), now),
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
        gpus = Gpu.objects.filter(machine_id__in=machine_ids, present=True).exclude(unhealthy_reason="").order_by()
        self._unhealthy = dict(gpus.values_list("machine_id").annotate(number=Count("pk")))
        cases = VerificationCase.objects.filter(machine_id__in=machine_ids, state__in=CASES_UNDECIDED)
        self._cases = set(cases.values_list("machine_id", flat=True))
        self._reports = open_reports(machine_ids)
        latest = Measurement.objects.filter(machine_id__in=machine_ids, score__isnull=False)
        latest = latest.order_by("machine_id", "-finished_at").distinct("machine_id")
        self._slower = {pk for pk, is_drop in latest.values_list("machine_id", "is_drop") if is_drop}
        self._now = machines_now(machine_ids)

    def of(self, machine: Machine) -> AlertFacts:
        listing = getattr(machine, "listing", None)
        return AlertFacts(
            online=machine.online,
            last_seen_at=machine.last_seen_at,
            suspended=machine.suspended_at is not None,
            engine_error=machine.engine_error,
            unhealthy_gpus=self._unhealthy.get(machine.pk, 0),
            case_open=machine.pk in self._cases,
            open_reports=self._reports.get(machine.pk, 0),
            sandbox_problem=listed_sandbox_problem(machine),
            slower_than_usual=machine.pk in self._slower,
            disk_used_percent=_disk_used_percent(self._now.get(machine.pk)),
            failed_agent_version=machine.agent_failed_version,
            listed_until=listing.end_at if listing is not None and listing.active else None,
        )
