"""The rent dialog: what it will cost, what shall run, and the rental itself."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from billing.selectors import balance_micros
from marketplace import selectors
from marketplace.access import offer_for_display
from marketplace.domain.offers import storage_micros_per_hour
from marketplace.domain.rent import MIN_DISK_GB
from marketplace.errors import MarketError
from marketplace.models import Offer
from marketplace.services.credit import HOURS_OF_CREDIT_NEEDED
from marketplace.services.keys import ssh_key_add
from marketplace.services.rent import instance_rent
from marketplace.web.rent_form import SUGGESTED_DISK_GB, RentForm
from marketplace.web.requests import UserRequest

LARGEST_NUMBER_CHARS = 9


@dataclass(frozen=True)
class Price:
    """What a rental of the offer costs per hour, in micro-dollars."""

    gpu_micros: int
    storage_micros: int
    disk_gb: int
    balance_micros: int

    @property
    def total_micros(self) -> int:
        return self.gpu_micros + self.storage_micros

    @property
    def needed_micros(self) -> int:
        return self.total_micros * HOURS_OF_CREDIT_NEEDED

    @property
    def is_covered(self) -> bool:
        return self.balance_micros > 0 and self.balance_micros >= self.needed_micros


@login_required
@require_http_methods(["GET", "POST"])
def rent(request: UserRequest, offer_id: int) -> HttpResponse:
    """Show the dialog, or rent."""
    offer = offer_for_display(offer_id)
    if request.method != "POST":
        initial = {"image": settings.SUGGESTED_IMAGES[0], "mode": "ssh", "disk_gb": _disk_gb(request, offer)}
        return _dialog(request, offer, RentForm(initial=initial))
    form = RentForm(request.POST)
    if form.is_valid() and _rented(request, offer, form):
        return _to_instances(request)
    return _dialog(request, offer, form, status=422)


def _rented(request: UserRequest, offer: Offer, form: RentForm) -> bool:
    """Rent; on a refusal put it beside its field and say False.

    Key and rental are two transactions: the key locks the machines of all the client's instances, and locking the
    offer's machine as well would break the one lock order. A key that is stored although the rental is refused does
    no harm; it is there for the next try.
    """
    now = timezone.now()
    try:
        if form.cleaned_data["ssh_key"].strip():
            ssh_key_add(user=request.user, text=form.cleaned_data["ssh_key"], now=now)
        instance = instance_rent(client=request.user, offer_id=offer.pk, request=form.rent_request(), now=now)
    except MarketError as refusal:
        form.add_error(refusal.field if refusal.field in form.fields else None, refusal.message)
        return False
    messages.success(request, f"Rented. Instance {instance.pk} is being prepared.")
    return True


def _to_instances(request: UserRequest) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": resolve_url("instances")})
    return redirect("instances")


def _dialog(request: UserRequest, offer: Offer, form: RentForm, *, status: int = 200) -> HttpResponse:
    now = timezone.now()
    disk_gb = form["disk_gb"].value()
    context: dict[str, Any] = {
        "offer": offer,
        "form": form,
        "price": _price(request, offer, _number(disk_gb, MIN_DISK_GB), now),
        "suggested_images": settings.SUGGESTED_IMAGES,
        "min_disk_gb": MIN_DISK_GB,
        "has_key": selectors.ssh_keys_of(request.user).exists(),
        "is_gone": offer.retired_at is not None or not offer.rentable or offer.end_at <= now,
        "is_own": offer.host_id == request.user.pk,
    }
    return render(request, "marketplace/rent.html", context, status=status)


@login_required
@require_GET
def price(request: UserRequest, offer_id: int) -> HttpResponse:
    """The price for another disk size, while it is being chosen."""
    offer = offer_for_display(offer_id)
    context = {"offer": offer, "price": _price(request, offer, _disk_gb(request, offer), timezone.now())}
    return render(request, "marketplace/_rent_price.html", context)


def _price(request: UserRequest, offer: Offer, disk_gb: int, now: datetime) -> Price:
    return Price(
        gpu_micros=offer.gpu_micros_per_hour,
        storage_micros=storage_micros_per_hour(offer.storage_micros_per_gb_month, disk_gb),
        disk_gb=disk_gb,
        balance_micros=balance_micros(request.user, now),
    )


def _disk_gb(request: UserRequest, offer: Offer) -> int:
    """The disk size in the address, within what the offer has."""
    wanted = _number(request.GET.get("disk_gb"), SUGGESTED_DISK_GB)
    return max(MIN_DISK_GB, min(wanted, offer.disk_space_gb))


def _number(value: object, fallback: int) -> int:
    text = str(value).strip()
    return int(text) if text.isdecimal() and len(text) <= LARGEST_NUMBER_CHARS else fallback
