"""How the fleet is: what staff want to know at a glance. Few queries, whatever its size."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median_low

from django.db.models import Count, Exists, F, OuterRef, Q, Subquery

from hosting.domain.verification import CASES_UNDECIDED
from hosting.models import Gpu, GpuClaim, Listing, Machine, Task, VerificationCase
from hosting.selectors import agent_versions_online
from marketplace.domain import instance_states as states
from marketplace.models import Instance, InstanceEvent

QUIET_SHOWN = 8
RECENTLY = timedelta(hours=24)


@dataclass(frozen=True)
class Model:
    """GPUs of one model on machines that are online; prices in micro-dollars per GPU-hour, None where none is known."""

    name: str
    machines: int
    gpus: int
    rented: int
    median_micros: int | None

    @property
    def occupancy_percent(self) -> int:
        """Of those that are online."""
        return round(100 * self.rented / self.gpus) if self.gpus else 0


@dataclass(frozen=True)
class Fleet:
    """Counts of machines, GPUs and instances at one moment."""

    machine_count: int
    online_count: int
    listed_count: int
    suspended_count: int
    broken_count: int
    gpus: int
    rented: int
    unhealthy: int
    instances: dict[str, int]
    rented_lately: int
    failed_lately: int
    cases: int
    models: list[Model] = field(default_factory=list)
    quiet: list[Machine] = field(default_factory=list)
    versions: list[tuple[str, int]] = field(default_factory=list)

    @property
    def occupancy_percent(self) -> int:
        """Rented GPUs of those on machines that are online."""
        return round(100 * self.rented / self.gpus) if self.gpus else 0


def fleet(now: datetime) -> Fleet:
    """The fleet now. Removed machines and GPUs count for nothing."""
    models = _models(now)
    there = Machine.objects.filter(removed_at=None)
    counts = there.aggregate(
        machine_count=Count("pk"),
        online_count=Count("pk", filter=Q(online=True)),
        suspended_count=Count("pk", filter=Q(suspended_at__isnull=False)),
        broken_count=Count("pk", filter=~Q(engine_error="")),
        listed_count=Count("pk", filter=Q(online=True, listing__active=True, listing__end_at__gt=now)),
    )
    unhealthy = Gpu.objects.filter(machine__removed_at=None, present=True).exclude(unhealthy_reason="").count()
    lately = InstanceEvent.objects.filter(at__gt=now - RECENTLY)
    return Fleet(
        **counts,
        gpus=sum(model.gpus for model in models),
        rented=sum(model.rented for model in models),
        unhealthy=unhealthy,
        instances=_instances(),
        rented_lately=lately.filter(kind="rented").count(),
        failed_lately=lately.filter(to_state=states.ERROR).count(),
        cases=VerificationCase.objects.filter(state__in=CASES_UNDECIDED).count(),
        models=models,
        quiet=quiet_machines(),
        versions=agent_versions_online(),
    )


def quiet_machines() -> list[Machine]:
    """Machines that are not heard although clients have something on them, those not heard for longest first."""
    kept = Instance.objects.filter(machine=OuterRef("pk")).exclude(state__in=(states.DESTROYING, states.DESTROYED))
    counted = kept.order_by().values("machine").annotate(number=Count("pk")).values("number")
    silent = Machine.objects.filter(removed_at=None, online=False).filter(Exists(kept)).select_related("host")
    return list(silent.annotate(instance_count=Subquery(counted)).order_by(F("last_seen_at").asc())[:QUIET_SHOWN])


def _instances() -> dict[str, int]:
    counted = Instance.objects.exclude(state=states.DESTROYED).values_list("state").annotate(number=Count("pk"))
    numbers = dict(counted.order_by())
    return {state: numbers[state] for state in states.STATES if state in numbers}


def _models(now: datetime) -> list[Model]:
    claimed = GpuClaim.objects.filter(gpu=OuterRef("pk"), released_at=None, task__kind=Task.Kind.INSTANCE)
    present = Gpu.objects.filter(present=True, machine__online=True, machine__removed_at=None)
    rows = present.values("model").annotate(
        gpus=Count("pk"), machines=Count("machine", distinct=True), rented=Count("pk", filter=Exists(claimed))
    )
    prices = _prices(now)
    found = [
        Model(row["model"], row["machines"], row["gpus"], row["rented"], prices.get(row["model"]))
        for row in rows.order_by()
    ]
    return sorted(found, key=lambda model: (-model.gpus, model.name))


def _prices(now: datetime) -> dict[str, int]:
    """The median of the prices per GPU and hour at which machines with this model are listed."""
    listed = Listing.objects.filter(active=True, end_at__gt=now, machine__online=True, machine__removed_at=None)
    by_model: dict[str, list[int]] = {}
    for name, micros in listed.values_list("machine__gpu_name", "gpu_micros_per_hour"):
        by_model.setdefault(name, []).append(micros)
    return {name: median_low(micros) for name, micros in by_model.items()}
