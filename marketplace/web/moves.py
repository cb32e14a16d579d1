"""The dialog in which an instance is moved to another machine, and the button that gives that up."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from marketplace.access import instance_for
from marketplace.domain.offers import storage_micros_per_hour
from marketplace.errors import MarketError
from marketplace.models import Instance, Offer
from marketplace.move_offers import offers_for
from marketplace.services.moves import move_begin, move_cancel
from marketplace.web.instances import changed
from marketplace.web.rent_form import INTERRUPTIBLE, ON_DEMAND, BidField
from marketplace.web.requests import UserRequest


class MoveForm(forms.Form):
    """Where to, and at which price."""

    offer_id = forms.IntegerField(label="Offer", error_messages={"required": "Choose an offer."})
    rental_type = forms.ChoiceField(
        label="Rental type",
        choices=[(ON_DEMAND, "On demand"), (INTERRUPTIBLE, "Interruptible")],
    )
    price = BidField(label="Your bid", required=False)

    def clean(self) -> dict[str, Any]:
        """A bid is needed where one bids."""
        data = self.cleaned_data
        if data.get("rental_type") != INTERRUPTIBLE:
            self.errors.pop("price", None)
        elif "price" not in self.errors and data.get("price") is None:
            self.add_error("price", "Name your bid: dollars per hour for all GPUs together.")
        return data


@login_required
@require_http_methods(["GET", "POST"])
def move(request: UserRequest, instance_id: int) -> HttpResponse:
    """Show where it could go and what that costs, and begin."""
    source = instance_for(request.user, instance_id)
    is_bid = source.bid_micros_per_hour is not None
    initial = {"rental_type": INTERRUPTIBLE if is_bid else ON_DEMAND, "price": source.bid_micros_per_hour}
    form = MoveForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid() and _begun(request, form, source):
        messages.success(request, f"Instance {source.pk} is being moved.")
        return changed(request)
    offers = [_row(offer, source) for offer in offers_for(source, timezone.now())]
    context = {"instance": source, "form": form, "offers": offers, "chosen": form["offer_id"].value()}
    return render(request, "marketplace/move.html", context, status=422 if form.errors else 200)


def _row(offer: Offer, source: Instance) -> dict[str, Any]:
    storage = storage_micros_per_hour(offer.storage_micros_per_gb_month, source.disk_gb)
    return {"offer": offer, "storage_micros": storage, "total_micros": offer.gpu_micros_per_hour + storage}


def _begun(request: UserRequest, form: MoveForm, source: Instance) -> bool:
    """Begin the move; on a refusal put it beside its field."""
    data = form.cleaned_data
    try:
        move_begin(
            user=request.user,
            source_id=source.pk,
            offer_id=data["offer_id"],
            bid_micros_per_hour=data["price"] if data["rental_type"] == INTERRUPTIBLE else None,
            now=timezone.now(),
        )
    except MarketError as refusal:
        form.add_error("price" if refusal.field == "price" else None, refusal.message)
        return False
    return True


@login_required
@require_POST
def cancel(request: UserRequest, instance_id: int) -> HttpResponse:
    """Give up the move."""
    ended = move_cancel(user=request.user, instance_id=instance_id, now=timezone.now())
    messages.success(request, "The move is canceled." if ended else "No move is under way.")
    return changed(request)
