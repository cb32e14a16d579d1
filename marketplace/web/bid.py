"""The dialog in which the bid of an interruptible instance is changed."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from billing.domain.money import exact_dollars
from marketplace.access import instance_for
from marketplace.errors import MarketError
from marketplace.models import Instance
from marketplace.services.bids import ChangedBid, bid_change
from marketplace.web.bid_view import BidView, bid_views
from marketplace.web.forms import BidForm
from marketplace.web.instances import changed
from marketplace.web.rent_form import micros_typed
from marketplace.web.requests import UserRequest


@login_required
@require_http_methods(["GET", "POST"])
def bid(request: UserRequest, instance_id: int) -> HttpResponse:
    """Show the bid and what would win, or change it: to an amount, or to the minimum at this moment."""
    view = _bid_of(request, instance_id)
    if request.method != "POST":
        return _dialog(request, view, BidForm(initial={"price": view.micros}))
    form = BidForm(request.POST)
    if form.is_valid():
        placed = _placed(request, form, instance_id)
        if placed is not None:
            messages.success(request, f"Instance {instance_id} bids ${exact_dollars(placed.micros_per_hour)} per hour.")
            return changed(request)
    return _dialog(request, view, form, status=422)


def _placed(request: UserRequest, form: BidForm, instance_id: int) -> ChangedBid | None:
    """Change the bid; on a refusal put it beside the field."""
    price_micros = None if form.cleaned_data["minimum"] else form.cleaned_data["price"]
    try:
        return bid_change(instance_id=instance_id, client=request.user, price_micros=price_micros, now=timezone.now())
    except MarketError as refusal:
        form.add_error("price", refusal.message)
        return None


@login_required
@require_GET
def cost(request: UserRequest, instance_id: int) -> HttpResponse:
    """What the bid in the field costs an hour, and whether it wins now, while it is typed."""
    context = _cost(_bid_of(request, instance_id), micros_typed(request.GET.get("price")))
    return render(request, "marketplace/_bid_cost.html", context)


def _bid_of(request: UserRequest, instance_id: int) -> BidView:
    """Raises MarketError: no_such_instance (404), wrong_state (409) for what has no bid."""
    found = instance_for(request.user, instance_id)
    view = bid_views([found]).get(found.pk)
    if view is None:
        raise MarketError(
            "wrong_state", f"Instance {found.pk} is rented on demand at a fixed price: it has no bid.", status=409
        )
    return view


def _dialog(request: UserRequest, view: BidView, form: BidForm, *, status: int = 200) -> HttpResponse:
    context = _cost(view, micros_typed(form["price"].value())) | {"form": form}
    return render(request, "marketplace/bid.html", context, status=status)


def _cost(view: BidView, typed_micros: int | None) -> dict[str, Any]:
    instance: Instance = view.instance
    total = None if typed_micros is None else typed_micros + instance.storage_micros_per_hour
    return {"bid": view, "instance": instance, "typed_micros": typed_micros, "total_micros": total}
