"""Pages of volumes: the list, where to create one, the dialog that does, and the end of one."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from billing.selectors import disks_end_at, meter_totals_micros
from hosting.domain import volumes as rules
from hosting.models import Volume
from marketplace.access import offer_for_display, volume_for, volumes_of
from marketplace.domain.lifetimes import DISK_KEPT
from marketplace.domain.offers import HOURS_PER_MONTH
from marketplace.domain.query import parse_query
from marketplace.errors import MarketError
from marketplace.models import Instance, Offer
from marketplace.services.volumes import volume_delete, volume_reference, volume_rent
from marketplace.volume_offers import instances_on, search_volume_offers
from marketplace.web.requests import UserRequest
from marketplace.web.volume_form import SUGGESTED_SIZE_GB, VolumeForm

MOST_OFFERS = 60
LABELS = {
    rules.CREATING: "Creating",
    rules.READY: "Ready",
    rules.FAILED: "Error",
    rules.DELETING: "Deleting",
}
TONES = {rules.CREATING: "busy", rules.READY: "good", rules.FAILED: "bad", rules.DELETING: "busy"}


@dataclass(frozen=True)
class VolumeView:
    """A volume as pages show it. Money in micro-dollars."""

    volume: Volume
    instances: list[Instance]
    offers: list[Offer]
    """Of its machine, to rent with it now."""
    cost_micros: int
    now: datetime

    @property
    def is_offline(self) -> bool:
        return not self.volume.machine.online

    @property
    def label(self) -> str:
        return "Offline" if self.is_offline else LABELS[self.volume.state]

    @property
    def tone(self) -> str:
        return "bad" if self.is_offline else TONES[self.volume.state]

    @property
    def sentence(self) -> str:
        """What there is to know besides its state."""
        if self.is_offline:
            return "Its machine can't be reached. Until it is back, the volume costs nothing."
        return self.volume.message

    @property
    def micros_per_month(self) -> int:
        return self.volume.storage_micros_per_hour * HOURS_PER_MONTH

    @property
    def micros_per_hour(self) -> int:
        """What it costs now."""
        return self.volume.storage_micros_per_hour if self.volume.state == rules.READY and not self.is_offline else 0

    @property
    def used_percent(self) -> int | None:
        used_mb = self.volume.used_mb
        return None if used_mb is None else min(100, used_mb * 100 // (self.volume.size_gb * 1024))

    @property
    def can_delete(self) -> bool:
        return self.volume.state in rules.LIVE and not self.instances

    @property
    def can_attach(self) -> bool:
        return self.volume.state in rules.USABLE and not self.is_over and not self.is_offline

    @property
    def is_over(self) -> bool:
        return self.volume.end_at <= self.now

    @property
    def deleted_at(self) -> datetime:
        """When it is deleted, unless the lifetime is extended before."""
        return self.volume.end_at + DISK_KEPT


def volume_views(volumes: list[Volume], now: datetime) -> list[VolumeView]:
    """The views of several volumes, with one look into the ledger for all."""
    totals = meter_totals_micros([volume_reference(volume) for volume in volumes], now)
    attached = instances_on(volumes)
    live = Offer.objects.filter(
        machine_id__in={one.machine_id for one in volumes}, retired_at=None, rentable=True, end_at__gt=now
    )
    offers: dict[int, list[Offer]] = {}
    for offer in live.order_by("num_gpus"):
        offers.setdefault(offer.machine_id, []).append(offer)
    return [
        VolumeView(
            volume=one,
            instances=attached.get(one.pk, []),
            offers=offers.get(one.machine_id, []),
            cost_micros=totals.get(volume_reference(one), 0),
            now=now,
        )
        for one in volumes
    ]


@login_required
@require_GET
def volumes(request: UserRequest) -> HttpResponse:
    """All volumes of the client."""
    return render(request, "marketplace/volumes/list.html", _context(request))


@login_required
@require_GET
def cards(request: UserRequest) -> HttpResponse:
    """The list alone, for polling."""
    return render(request, "marketplace/volumes/_list.html", _context(request))


def _context(request: UserRequest) -> dict[str, Any]:
    now = timezone.now()
    views = volume_views(list(volumes_of(request.user)), now)
    return {
        "views": views,
        "micros_per_hour": sum(view.micros_per_hour for view in views),
        "disks_end_at": disks_end_at(request.user, now),
    }


@login_required
@require_GET
def offers(request: UserRequest) -> HttpResponse:
    """The machines that have disk for volumes, the cheapest first."""
    query = parse_query({"order": [["storage_cost", "asc"], ["reliability", "desc"]], "limit": MOST_OFFERS})
    found = search_volume_offers(query, now=timezone.now())
    return render(request, "marketplace/volumes/offers.html", {"offers": found})


@login_required
@require_http_methods(["GET", "POST"])
def create(request: UserRequest, offer_id: int) -> HttpResponse:
    """The dialog for a volume on the offer's machine."""
    offer = offer_for_display(offer_id)
    if request.method != "POST":
        suggested = {"size": SUGGESTED_SIZE_GB, "key": secrets.token_urlsafe(16)}
        return _dialog(request, offer, VolumeForm(initial=suggested))
    form = VolumeForm(request.POST)
    if form.is_valid() and (made := _made(request, offer, form)) is not None:
        messages.success(request, f"The volume {made.name} is being created.")
        if request.headers.get("HX-Request"):
            return HttpResponse(status=204, headers={"HX-Redirect": resolve_url("volumes")})
        return redirect("volumes")
    return _dialog(request, offer, form, status=422)


def _made(request: UserRequest, offer: Offer, form: VolumeForm) -> Volume | None:
    """The volume; None with the refusal in the form."""
    try:
        return volume_rent(
            client=request.user,
            offer_id=offer.pk,
            size_gb=form.cleaned_data["size"],
            label=form.cleaned_data["name"].strip(),
            now=timezone.now(),
            idempotency_key=form.cleaned_data["key"],
        )
    except MarketError as refusal:
        form.add_error(refusal.field if refusal.field in form.fields else None, refusal.message)
        return None


def _dialog(request: UserRequest, offer: Offer, form: VolumeForm, *, status: int = 200) -> HttpResponse:
    context = {"offer": offer, "form": form, "is_own": offer.host_id == request.user.pk}
    return render(request, "marketplace/volumes/create.html", context, status=status)


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: UserRequest, volume_id: int) -> HttpResponse:
    """Ask, then delete."""
    volume = volume_for(request.user, volume_id)
    if request.method != "POST":
        (view,) = volume_views([volume], timezone.now())
        return render(request, "marketplace/volumes/delete.html", {"view": view})
    volume_delete(user=request.user, volume_id=volume.pk, now=timezone.now())
    messages.success(request, f"The volume {volume.name} is being deleted.")
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Trigger": '{"dialog-close": {}, "volumes-changed": {}}'})
    return redirect("volumes")
