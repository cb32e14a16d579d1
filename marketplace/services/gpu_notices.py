"""Tells hosts that GPUs left the market, and that they are back."""

from collections.abc import Sequence
from datetime import datetime

from hosting.domain.gpu_health import remedy
from hosting.models import Gpu, Machine
from marketplace.domain import notices
from marketplace.services.notices import account_notice_post


def gpu_notices_post(*, machine: Machine, gone: Sequence[tuple[Gpu, str]], back: Sequence[Gpu], now: datetime) -> None:
    """One mail for all that left at once and one for all that came back, in the caller's transaction."""
    if gone:
        lines = [f"GPU {gpu.index} ({gpu.model}): {gpu.unhealthy_reason} {remedy(fault)}" for gpu, fault in gone]
        text = "\n\n".join(
            [*lines, "What runs on it goes on, if it can. It is offered again by itself once it is fit."]
        )
        _post(machine, notices.GPU_UNHEALTHY, "is off the market", [gpu for gpu, _ in gone], text, now)
    if back:
        names = ", ".join(str(gpu.index) for gpu in back)
        _post(machine, notices.GPU_HEALTHY, "is offered again", back, f"Fit again: GPU {names}.", now)


def _post(machine: Machine, kind: str, what: str, gpus: Sequence[Gpu], text: str, now: datetime) -> None:
    subject = f"A GPU of machine {machine.pk} ({machine.hostname}) {what}"
    if len(gpus) > 1:
        subject = f"{len(gpus)} GPUs of machine {machine.pk} ({machine.hostname}): each {what}"
    account_notice_post(
        owner_id=machine.host_id,
        kind=kind,
        key=f"machine:{machine.pk}:{kind}:{now.isoformat()}",
        subject=subject,
        text=text,
        now=now,
        data={"machine_id": machine.pk, "gpus": [gpu.uuid for gpu in gpus]},
    )
