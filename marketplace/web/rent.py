"""The rent dialog: how to rent, what it will cost, what shall run, and the rental itself."""

import secrets
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from billing.selectors import balance_micros
from hosting.domain.registries import Login
from hosting.market_prices import maintenance_of
from marketplace import selectors
from marketplace.access import offer_for_display
from marketplace.domain import instance_states as states
from marketplace.domain.rent import MIN_DISK_GB
from marketplace.errors import MarketError
from marketplace.models import Instance, Offer
from marketplace.services.keys import ssh_key_add
from marketplace.services.registry_logins import kept_login
from marketplace.services.rent import instance_rent
from marketplace.template_lists import Chosen, template_chosen
from marketplace.web.rent_form import (
    INTERRUPTIBLE,
    ON_DEMAND,
    OTHER_LOGIN,
    SUGGESTED_DISK_GB,
    RentForm,
    micros_typed,
    template_initial,
)
from marketplace.web.rent_price import RentPrice, has_room, lowest_bid
from marketplace.web.requests import UserRequest
from marketplace.web.volume_form import NEW, attachable

LARGEST_NUMBER_CHARS = 9


@sensitive_post_parameters("login_password")
@login_required
@require_http_methods(["GET", "POST"])
def rent(request: UserRequest, offer_id: int) -> HttpResponse:
    """Show the dialog, or rent."""
    offer = offer_for_display(offer_id)
    if request.method != "POST":
        fresh = RentForm(initial=_suggested(request, offer), registries=_registries(request))
        fresh.offer_volumes(attachable(request.user, offer))
        return _dialog(request, offer, fresh)
    form = RentForm(request.POST, registries=_registries(request))
    form.offer_volumes(attachable(request.user, offer))
    if form.is_valid() and _rented(request, offer, form):
        return _to_instances(request)
    return _dialog(request, offer_for_display(offer_id), form, status=422)


def _registries(request: UserRequest) -> list[str]:
    """Those that the client keeps logins to."""
    return list(selectors.registry_logins_of(request.user).values_list("registry", flat=True))


def _login(request: UserRequest, form: RentForm) -> Login | None:
    """The login that was chosen or typed in. Raises MarketError(no_such_login)."""
    chosen = form.cleaned_data["image_login"]
    if chosen in ("", OTHER_LOGIN):
        return form.given_login()
    return kept_login(request.user, chosen, field="image_login")


def _suggested(request: UserRequest, offer: Offer) -> dict[str, Any]:
    """What a fresh dialog holds. Its key stays with it, so that however often it is sent it rents once."""
    return {
        "rental_type": INTERRUPTIBLE if request.GET.get("type") == INTERRUPTIBLE else ON_DEMAND,
        "price": lowest_bid(offer),
        "idempotency_key": secrets.token_urlsafe(16),
        "image": settings.SUGGESTED_IMAGES[0],
        "mode": "ssh",
        "use_jupyter_lab": True,
        "disk_gb": _disk_gb(request, offer),
        "volume_info": request.GET.get("volume", ""),
    } | _from_template(request, offer)


def _from_template(request: UserRequest, offer: Offer) -> dict[str, Any]:
    """What the template in the address fills in. A disk in the address goes before that of the template."""
    hash_id = request.GET.get("template", "")
    chosen = _template(request, hash_id) if hash_id else None
    if chosen is None:
        return {}
    disk = {} if "disk_gb" in request.GET else {"disk_gb": min(chosen.content.disk_gb, offer.disk_space_gb)}
    return template_initial(chosen.content) | disk


def _template(request: UserRequest, hash_id: str) -> Chosen | None:
    """The template with this hash, if the user may rent with it (still)."""
    try:
        return template_chosen(request.user, hash_id=hash_id.replace("\0", "")[:64])
    except MarketError:
        return None


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
        chosen = _template(request, form.cleaned_data["template"])
        wanted = replace(
            form.rent_request(),
            template=chosen.used if chosen else None,
            registry_login=_login(request, form),
        )
        instance = instance_rent(client=request.user, offer_id=offer.pk, request=wanted, now=now)
    except MarketError as refusal:
        form.add_error(_field_of(refusal, form, offer), refusal.message)
        return False
    messages.success(request, _told(instance))
    return True


def _field_of(refusal: MarketError, form: RentForm, offer: Offer) -> str | None:
    """The field a refusal belongs to. That no bid wins belongs to the bid, while the offer is still there."""
    if refusal.field in form.fields:
        return refusal.field
    if refusal.field in ("size", "name"):
        return f"volume_{refusal.field}"
    is_bid = form.cleaned_data["rental_type"] == INTERRUPTIBLE
    offer.refresh_from_db(fields=["retired_at"])
    return "price" if is_bid and refusal.code == "no_such_ask" and offer.retired_at is None else None


def _told(instance: Instance) -> str:
    if instance.state == states.OUTBID:
        return f"Your bid is placed. Instance {instance.pk} waits for its turn and starts by itself."
    return f"Rented. Instance {instance.pk} is being prepared."


def _to_instances(request: UserRequest) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": resolve_url("instances")})
    return redirect("instances")


def _dialog(request: UserRequest, offer: Offer, form: RentForm, *, status: int = 200) -> HttpResponse:
    now = timezone.now()
    disk_gb = _number(form["disk_gb"].value(), MIN_DISK_GB)
    bid_micros = micros_typed(form["price"].value())
    is_bid_possible = bid_micros is not None and bid_micros <= offer.gpu_micros_per_hour
    context: dict[str, Any] = {
        "offer": offer,
        "form": form,
        "price": _price(request, offer, disk_gb, bid_micros, now, volume_gb=_volume_gb(form)),
        "is_waiting_asked": bool(form["accepts_waiting"].value()),
        "is_refused": is_bid_possible and bool(form.errors.get("price")),
        "is_interruptible": form["rental_type"].value() == INTERRUPTIBLE,
        "suggested_images": settings.SUGGESTED_IMAGES,
        "min_disk_gb": MIN_DISK_GB,
        "has_key": selectors.ssh_keys_of(request.user).exists(),
        "is_own": offer.host_id == request.user.pk,
        "grace_seconds": settings.DISPLACEMENT_GRACE_SECONDS,
        "maintenance": maintenance_of([offer.machine_id], now),
        "now": now,
        "chosen": _template(request, str(form["template"].value() or "")),
    }
    return render(request, "marketplace/rent.html", context | _obstacles(offer, now), status=status)


def _obstacles(offer: Offer, now: datetime) -> dict[str, Any]:
    """What keeps one from renting: the offer is gone (and what took its place), taken on demand, or without disk."""
    slice_of_machine = (offer.machine_id, offer.num_gpus)
    is_gone = offer.retired_at is not None or offer.end_at <= now
    return {
        "is_gone": is_gone,
        "is_taken": is_gone or not offer.rentable,
        "is_full": is_gone or not has_room(offer),
        "successor": selectors.live_offers([slice_of_machine]).get(slice_of_machine) if is_gone else None,
    }


@login_required
@require_GET
def price(request: UserRequest, offer_id: int) -> HttpResponse:
    """The prices for another disk size or bid, while they are being chosen, and what bids meet at this moment."""
    offer = offer_for_display(offer_id)
    bid_micros = micros_typed(request.GET.get("price"))
    context = {
        "offer": offer,
        "price": _price(
            request,
            offer,
            _disk_gb(request, offer),
            bid_micros,
            timezone.now(),
            volume_gb=_new_gb(request.GET.get("volume_info"), request.GET.get("volume_size")),
        ),
        "is_waiting_asked": bool(request.GET.get("accepts_waiting")),
        "swap": True,
    }
    return render(request, "marketplace/_rent_price.html", context)


def _volume_gb(form: RentForm) -> int:
    return _new_gb(form["volume_info"].value(), form["volume_size"].value())


def _new_gb(chosen: object, size: object) -> int:
    """The size of the volume that is to be created with the instance; 0 for none."""
    return _number(size, 0) if chosen == NEW else 0


def _price(
    request: UserRequest, offer: Offer, disk_gb: int, bid_micros: int | None, now: datetime, *, volume_gb: int
) -> RentPrice:
    balance = balance_micros(request.user, now)
    return RentPrice(offer=offer, disk_gb=disk_gb, volume_gb=volume_gb, bid_micros=bid_micros, balance_micros=balance)


def _disk_gb(request: UserRequest, offer: Offer) -> int:
    """The disk size in the address, within what the offer has."""
    wanted = _number(request.GET.get("disk_gb"), SUGGESTED_DISK_GB)
    return max(MIN_DISK_GB, min(wanted, offer.disk_space_gb))


def _number(value: object, fallback: int) -> int:
    text = str(value).strip()
    return int(text) if text.isdecimal() and len(text) <= LARGEST_NUMBER_CHARS else fallback
