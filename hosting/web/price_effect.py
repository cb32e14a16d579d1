"""What a price means, beside the field that it is typed into."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from billing.selectors.terms import host_share_bps_of
from billing.web.requests import AccountRequest
from hosting.access import machine_for
from hosting.domain.earning_estimate import LEAST_HOSTS, LEAST_MACHINES
from hosting.domain.listing import MAX_GPU_MICROS_PER_HOUR
from hosting.domain.market_prices import HOURS_PER_MONTH, PriceRange, host_part_micros
from hosting.market_prices import market_prices
from hosting.models import Machine
from hosting.web.fields import DollarsField

OCCUPANCIES = (100, 50)
"""Percent of the month for which all GPUs are rented."""


@dataclass(frozen=True)
class PriceEffect:
    """What the host gets at a price, in micro-dollars; nothing while what is typed is no price."""

    gpus: int
    share_bps: int
    micros_per_gpu_hour: int | None
    market: PriceRange | None

    @property
    def per_hour_micros(self) -> int:
        return host_part_micros(self.micros_per_gpu_hour or 0, self.gpus, self.share_bps)

    @property
    def months(self) -> list[tuple[int, int]]:
        """For each of OCCUPANCIES what a month brings."""
        month = host_part_micros(self.micros_per_gpu_hour or 0, self.gpus, self.share_bps, hours=HOURS_PER_MONTH)
        return [(percent, month * percent // 100) for percent in OCCUPANCIES]

    @property
    def share_percent(self) -> float:
        return self.share_bps / 100


@login_required
@require_GET
def price(request: AccountRequest, machine_id: int) -> HttpResponse:
    """The part of the dialog that follows the price."""
    machine = machine_for(request.user, machine_id)
    context = price_effect(machine, request.GET.get("gpu_micros_per_hour", ""))
    return render(request, "hosting/_price_effect.html", context)


def price_effect(machine: Machine, typed: str) -> dict[str, Any]:
    """For the template. ``typed`` is in dollars for a GPU and hour."""
    try:
        micros = DollarsField(required=False).clean(typed)
    except ValidationError:
        micros = None
    if micros is not None and not 0 < micros <= MAX_GPU_MICROS_PER_HOUR:
        micros = None
    share_bps = host_share_bps_of(machine.host_id)
    effect = PriceEffect(machine.gpu_count, share_bps, micros, market_prices(machine))
    return {"effect": effect, "least_machines": LEAST_MACHINES, "least_hosts": LEAST_HOSTS}
