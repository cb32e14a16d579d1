"""Ties the life of an instance to its meters: GPU time while it runs, storage while it exists, bytes both ways."""

from contextlib import suppress
from datetime import datetime

from billing import services as billing
from billing.domain.errors import UnknownMeterError
from billing.services import (
    NewMeter,
    meter_close,
    meter_pause,
    meter_reprice_paused,
    meter_resume,
    traffic_count,
)
from marketplace.models import Instance


def gpu_reference(instance: Instance) -> str:
    """The name of the instance's GPU meter."""
    return gpu_reference_of(instance.pk)


def gpu_reference_of(instance_id: int) -> str:
    """The same, for who knows only the number."""
    return f"instance:{instance_id}:gpu"


def storage_reference(instance: Instance) -> str:
    """The name of the instance's storage meter."""
    return f"instance:{instance.pk}:storage"


def traffic_rates(instance: Instance) -> dict[str, int]:
    """The names of the instance's traffic meters with their prices, in micro-dollars per GB. Free traffic has none."""
    rates = {
        f"instance:{instance.pk}:up": instance.inet_up_micros_per_gb,
        f"instance:{instance.pk}:down": instance.inet_down_micros_per_gb,
    }
    return {reference: rate for reference, rate in rates.items() if rate}


def references(instance: Instance) -> list[str]:
    """The names of all its meters."""
    return [gpu_reference(instance), storage_reference(instance), *traffic_rates(instance)]


def number_of_reference(reference: str) -> int:
    """The id of the instance, or volume, that a meter's name speaks of."""
    return int(reference.split(":")[1])


def meters_open(*, instance: Instance, now: datetime) -> None:
    """Meters for GPU time, disk and traffic. No time is counted before the container runs: a start that fails costs
    nothing.
    """
    time = [
        NewMeter(gpu_reference(instance), "gpu", instance.gpu_micros_per_hour),
        NewMeter(storage_reference(instance), "storage", instance.storage_micros_per_hour),
    ]
    traffic = [NewMeter(reference, "traffic", rate) for reference, rate in traffic_rates(instance).items()]
    billing.meters_open(
        meters=time + traffic,
        payer=instance.client,
        payee=instance.machine.host,
        now=now,
        earner=f"machine:{instance.machine_id}",
    )


def gpu_rate_set(*, instance: Instance) -> None:
    """Let GPU time be charged at the instance's price in force once it runs; it does not run now."""
    meter_reprice_paused(reference=gpu_reference(instance), rate_micros=instance.gpu_micros_per_hour)


def gpu_time_starts(*, instance: Instance, at: datetime) -> None:
    """The container runs since ``at``."""
    meter_resume(reference=gpu_reference(instance), now=at)


def storage_starts(*, instance: Instance, at: datetime) -> None:
    """The container, and with it the disk, exists since ``at``; once is enough."""
    meter_resume(reference=storage_reference(instance), now=at)


def storage_ends(*, instance: Instance, at: datetime) -> None:
    """The disk is lost: nobody pays for it any more."""
    meter_pause(reference=storage_reference(instance), at=at)


def gpu_time_ends(*, instance: Instance, at: datetime) -> None:
    """The container runs no more, or the client asked for its end, at ``at``."""
    meter_pause(reference=gpu_reference(instance), at=at)


def traffic_counts(*, instance: Instance, now: datetime) -> None:
    """The container has sent and received what its task says, since it was first made. The contract lasts."""
    totals = {"up": instance.task.net_tx_bytes, "down": instance.task.net_rx_bytes}
    for reference in traffic_rates(instance):
        # Contracts made before traffic was metered have no such meters.
        with suppress(UnknownMeterError):
            traffic_count(reference=reference, bytes_total=totals[reference.rpartition(":")[2]], now=now)


def meters_close(*, instance: Instance, at: datetime) -> None:
    """The contract ended: nothing is charged from ``at`` on."""
    for reference in (gpu_reference(instance), storage_reference(instance)):
        meter_close(reference=reference, at=at)
    for reference in traffic_rates(instance):
        with suppress(UnknownMeterError):  # as above
            meter_close(reference=reference, at=at)
