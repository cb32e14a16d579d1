"""What hosts fill in."""

from datetime import datetime, timedelta
from typing import Any

from django import forms

from hosting.domain.listing import ListingTerms
from hosting.models import Machine
from hosting.web.fields import DollarsField, EndOfDayField

USUAL_TERMS = {
    "storage_micros_per_gb_month": 100_000,
    "inet_up_micros_per_gb": 10_000,
    "inet_down_micros_per_gb": 10_000,
    "min_gpus": 1,
}
"""What the form suggests for a machine that was never listed."""


class PricesForm(forms.Form):
    """The terms of a listing. Field names are those of ``ListingTerms``, so refusals find their field."""

    gpu_micros_per_hour = DollarsField(label="On-demand price")
    storage_micros_per_gb_month = DollarsField(label="Storage")
    inet_up_micros_per_gb = DollarsField(label="Traffic up")
    inet_down_micros_per_gb = DollarsField(label="Traffic down")
    min_gpus = forms.IntegerField(label="Minimum GPUs per rental")
    end_at = EndOfDayField(label="Available through")

    @classmethod
    def for_machine(cls, machine: Machine, *, now: datetime) -> "PricesForm":
        """The form with the machine's present terms, or suggestions."""
        listing = getattr(machine, "listing", None)
        initial: dict[str, Any] = USUAL_TERMS | {"end_at": now + timedelta(days=90)}
        if listing is not None:
            initial = {name: getattr(listing, name) for name in cls.base_fields}
        return cls(initial=initial)

    def terms(self, machine: Machine) -> ListingTerms:
        """The terms as the service wants them; a minimum bid set elsewhere stays as it is."""
        listing = getattr(machine, "listing", None)
        min_bid_micros = listing.min_bid_micros_per_gpu_hour if listing is not None else 0
        return ListingTerms(min_bid_micros_per_gpu_hour=min_bid_micros, **self.cleaned_data)


class InstallTokenForm(forms.Form):
    """Names a new install token."""

    name = forms.CharField(
        label="Name",
        max_length=80,
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "e.g. the machine in the basement", "autocomplete": "off"}),
    )
