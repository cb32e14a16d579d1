"""What hosts fill in."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms

from hosting.domain.listing import ListingTerms
from hosting.domain.maintenance import LONGEST, NOTE_CHARS
from hosting.domain.sandboxes import CHOICES, NONE
from hosting.models import IdleJob, Machine
from hosting.web.fields import CommandField, DollarsField, EndOfDayField

USUAL_TERMS = {
    "storage_micros_per_gb_month": 100_000,
    "inet_up_micros_per_gb": 10_000,
    "inet_down_micros_per_gb": 10_000,
    "min_bid_micros_per_gpu_hour": 0,
    "min_gpus": 1,
    "sandbox": NONE,
}
"""What the form suggests for a machine that was never listed."""


class PricesForm(forms.Form):
    """The terms of a listing. Field names are those of ``ListingTerms``, so refusals find their field."""

    gpu_micros_per_hour = DollarsField(label="On-demand price")
    storage_micros_per_gb_month = DollarsField(label="Storage")
    inet_up_micros_per_gb = DollarsField(label="Traffic up")
    inet_down_micros_per_gb = DollarsField(label="Traffic down")
    min_bid_micros_per_gpu_hour = DollarsField(label="Minimum bid", required=False)
    min_gpus = forms.IntegerField(label="Minimum GPUs per rental")
    sandbox = forms.ChoiceField(label="Sandbox", required=False, choices=CHOICES)
    end_at = EndOfDayField(label="Available through")

    @classmethod
    def for_machine(cls, machine: Machine, *, now: datetime) -> "PricesForm":
        """The form with the machine's present terms, or suggestions."""
        listing = getattr(machine, "listing", None)
        initial: dict[str, Any] = USUAL_TERMS | {"end_at": now + timedelta(days=90)}
        if listing is not None:
            initial = {name: getattr(listing, name) for name in cls.base_fields}
        return cls(initial=initial)

    def terms(self) -> ListingTerms:
        """The terms as the service wants them. No minimum bid is one of 0, no sandbox is none."""
        may_be_empty = {
            "min_bid_micros_per_gpu_hour": self.cleaned_data["min_bid_micros_per_gpu_hour"] or 0,
            "sandbox": self.cleaned_data["sandbox"] or NONE,
        }
        return ListingTerms(**self.cleaned_data | may_be_empty)


class ExtendForm(forms.Form):
    """A later end for what is rented already."""

    end_at = EndOfDayField(label="New end date")


class MaintenanceForm(forms.Form):
    """When the machine is worked on, in UTC."""

    starts_at = forms.DateTimeField(
        label="Begins",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    hours = forms.FloatField(label="Lasts", min_value=0.25, max_value=LONGEST / timedelta(hours=1))
    note = forms.CharField(
        label="Note",
        required=False,
        max_length=NOTE_CHARS,
        widget=forms.TextInput(attrs={"placeholder": "e.g. new power supply", "autocomplete": "off"}),
    )

    def window(self) -> tuple[datetime, datetime, str]:
        """Begin, end, note."""
        starts_at = self.cleaned_data["starts_at"].astimezone(UTC)
        return starts_at, starts_at + timedelta(hours=self.cleaned_data["hours"]), self.cleaned_data["note"]


class IdleJobForm(forms.Form):
    """The host's own job. Field names are those of ``idle_job_set``, so refusals find their field."""

    machine_id = forms.TypedChoiceField(label="Machine", coerce=int)
    image = forms.CharField(
        label="Image",
        required=False,  # the service says better what an image looks like
        widget=forms.TextInput(attrs={"placeholder": "ubuntu", "autocomplete": "off", "spellcheck": "false"}),
    )
    args = CommandField(
        label="Command and arguments",
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "bash", "autocomplete": "off", "spellcheck": "false"}),
    )
    price_micros_per_gpu_hour = DollarsField(label="Price")

    def __init__(self, *values: Any, machines: Iterable[Machine], **options: Any) -> None:
        super().__init__(*values, **options)
        choice: Any = self.fields["machine_id"]
        choice.choices = [(machine.pk, _named(machine)) for machine in machines]

    @classmethod
    def for_machine(cls, machine: Machine | None, machines: Iterable[Machine]) -> "IdleJobForm":
        """The form with the machine's present job, or empty."""
        if machine is None:
            return cls(machines=machines)
        job: IdleJob | None = getattr(machine, "idle_job", None)
        initial: dict[str, Any] = {"machine_id": machine.pk}
        if job is not None:
            initial |= {name: getattr(job, name) for name in ("image", "args", "price_micros_per_gpu_hour")}
        return cls(initial=initial, machines=machines)


def _named(machine: Machine) -> str:
    return f"{machine.pk}: {machine.gpu_count}\N{MULTIPLICATION SIGN} {machine.gpu_name}, {machine.hostname}"


class InstallTokenForm(forms.Form):
    """Names a new install token."""

    name = forms.CharField(
        label="Name",
        max_length=80,
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "e.g. the machine in the basement", "autocomplete": "off"}),
    )
