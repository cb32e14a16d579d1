"""Reads for estimates of what a machine might earn."""

from datetime import datetime

from django.conf import settings
from django.db.models import Max

from hosting.domain.earning_estimate import Estimate, Sample, estimate
from hosting.models import MachineYield


def earning_estimate(gpu_name: str, gpus: int) -> Estimate | None:
    """What machines with this GPU earned lately, for this many; None where too few tell it."""
    rows = MachineYield.objects.filter(machine__gpu_name=gpu_name, **_counted())
    values = rows.values_list("machine__host_id", "machine__gpu_count", "days", "earned_micros", "rented_gpu_hours")
    return estimate([Sample(*row) for row in values], gpus)


def estimated_gpu_names() -> list[str]:
    """The GPUs of machines that are summed up, by name."""
    names = MachineYield.objects.filter(**_counted()).values_list("machine__gpu_name", flat=True)
    return sorted(set(names))


def yields_computed_at() -> datetime | None:
    """When they were last summed up."""
    latest: datetime | None = MachineYield.objects.aggregate(latest=Max("computed_at"))["latest"]
    return latest


def _counted() -> dict[str, bool]:
    """Simulated machines earn nobody anything: they count in the demo only, whose pages say what they are."""
    return {} if settings.DEMO else {"machine__simulated": False}
