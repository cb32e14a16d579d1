"""Takes GPUs that are not fit off the market, and brings them back."""

from dataclasses import asdict, fields
from datetime import datetime

from django.db import transaction

from agent.telemetry_protocol import GpuReading, Live
from hosting import hooks
from hosting.domain.gpu_health import Condition, Seen, judged, reason, remedy
from hosting.locks import lock_machine
from hosting.models import Gpu, GpuHealth, Machine
from hosting.services.events import machine_event

REASON_CHARS = 200
DETAIL_CHARS = 120
USUAL_LIMIT_C = 90
"""For GPUs that name no limit."""


def gpu_health_follow(*, machine_id: int, live: Live, now: datetime) -> None:
    """Bring what is known of each GPU's condition up to a look at the machine. Where nothing is new, a read is all."""
    if any(before != after for _, before, after in _judgements(machine_id, live, now)):
        _apply(machine_id, live, now)


def _judgements(machine_id: int, live: Live, now: datetime) -> list[tuple[Gpu, Condition, Condition]]:
    readings = {reading.uuid: reading for reading in live.gpus}
    present = Gpu.objects.filter(machine_id=machine_id, present=True).select_related("health").order_by("index")
    found = []
    for gpu in present:
        before = condition_of(gpu)
        found.append((gpu, before, judged(before, _seen(gpu, readings.get(gpu.uuid), live), now)))
    return found


def condition_of(gpu: Gpu) -> Condition:
    """What is remembered of a GPU that came with its health."""
    health: GpuHealth | None = getattr(gpu, "health", None)
    if health is None:
        return Condition()
    return Condition(**{field.name: getattr(health, field.name) for field in fields(Condition)})


def _seen(gpu: Gpu, reading: GpuReading | None, live: Live) -> Seen:
    limit_c = gpu.max_temperature_c or USUAL_LIMIT_C
    if reading is None:
        return Seen(boot_id=live.boot_id, driver_answers=not live.driver_error, listed=False, limit_c=limit_c)
    return Seen(
        boot_id=live.boot_id,
        lost=reading.lost,
        temperature_c=reading.temperature_c,
        limit_c=limit_c,
        memory_mb=_size(reading.memory_total_mb),
        pcie_lanes=_size(reading.pcie_lanes),
        ecc_uncorrected=reading.ecc_uncorrected,
        xids=tuple(seen.xid for seen in reading.xids or ()),
    )


def _size(value: int | None) -> int | None:
    """Nothing is as good as not known."""
    return value if value is not None and value > 0 else None


@transaction.atomic
def _apply(machine_id: int, live: Live, now: datetime) -> None:
    machine = lock_machine(machine_id)
    if machine.removed_at is not None:
        return
    gone: list[tuple[Gpu, str]] = []
    back: list[Gpu] = []
    for gpu, before, after in _judgements(machine_id, live, now):
        if before == after:
            continue
        values = asdict(after) | {"detail": after.detail[:DETAIL_CHARS]}
        GpuHealth.objects.update_or_create(gpu=gpu, defaults=values)
        if before.fault != after.fault:
            _turn(machine, gpu, after, now)
            if after.fault:
                gone.append((gpu, after.fault))
            else:
                back.append(gpu)
    if gone or back:
        hooks.market().machine_changed(machine, now)
        hooks.market().gpus_turned(machine, gone, back, now)


def _turn(machine: Machine, gpu: Gpu, after: Condition, now: datetime) -> None:
    gpu.unhealthy_reason = reason(after)[:REASON_CHARS]
    gpu.save(update_fields=["unhealthy_reason"])
    if after.fault:
        message = f"GPU {gpu.index} is not offered any more. {gpu.unhealthy_reason} {remedy(after.fault)}"
        machine_event(machine, "left_market", now=now, message=message, gpu=gpu.uuid, fault=after.fault)
    else:
        machine_event(machine, "back_on_market", now=now, message=f"GPU {gpu.index} is fit again.", gpu=gpu.uuid)
