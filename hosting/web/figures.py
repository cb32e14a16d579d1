"""How a machine is and was: the live figures and the charts on its page."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from agent.telemetry_protocol import GpuReading, MachineReading
from billing.web.requests import AccountRequest
from hosting.access import machine_for
from hosting.domain.gpu_health import remedy
from hosting.domain.telemetry import PERIODS
from hosting.models import Gpu, Machine
from hosting.services.gpu_health import condition_of
from hosting.telemetry import DEFAULT_PERIOD, live_of, machine_history

THROTTLES = {"heat": "heat", "power": "its power limit", "hardware": "the hardware", "other": "the driver"}


@dataclass(frozen=True)
class GpuNow:
    """A GPU with its latest look; ``reading`` is None where it told nothing."""

    gpu: Gpu
    reading: GpuReading | None

    @property
    def remedy(self) -> str:
        """What its host can do where it is off the market."""
        return remedy(condition_of(self.gpu).fault)

    @property
    def throttle(self) -> str:
        return " and ".join(THROTTLES[why] for why in self.reading.throttle) if self.reading else ""


@dataclass(frozen=True)
class MachineNow:
    """For the card on the machine's page."""

    is_live: bool
    driver_error: str
    machine: MachineReading
    gpus: list[GpuNow]


def machine_now(machine: Machine) -> MachineNow:
    """The latest look at a machine, as far as there is one; GPUs that are off the market are there in any case."""
    live = live_of([machine.pk]).get(machine.pk)
    readings = {reading.uuid: reading for reading in live.gpus if not reading.lost} if live else {}
    present = machine.gpus.filter(present=True).select_related("health").order_by("index")
    gpus = [GpuNow(gpu, readings.get(gpu.uuid)) for gpu in present]
    return MachineNow(
        is_live=live is not None,
        driver_error=live.driver_error if live else "",
        machine=live.machine if live else MachineReading(),
        gpus=[one for one in gpus if one.reading is not None or one.gpu.unhealthy_reason],
    )


def history_context(machine: Machine, period: str, url: str, now: datetime) -> dict[str, Any]:
    """For the charts of the machine."""
    return {"charts": machine_history(machine, period, now), "history_url": url, "periods": list(PERIODS)}


@login_required
@require_GET
def figures(request: AccountRequest, machine_id: int) -> HttpResponse:
    """The live figures alone, for polling."""
    machine = machine_for(request.user, machine_id)
    return render(request, "hosting/_figures.html", {"machine": machine, "figures": machine_now(machine)})


@login_required
@require_GET
def history(request: AccountRequest, machine_id: int) -> HttpResponse:
    """The charts alone, for another period and for polling."""
    machine = machine_for(request.user, machine_id)
    context = history_context(machine, request.GET.get("period", DEFAULT_PERIOD), request.path, timezone.now())
    return render(request, "ui/history.html", context)
