"""The rent dialog's form. Field names are those of ``RentRequest``, so refusals of the service find their field."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.urls import reverse_lazy

from billing.domain.errors import InvalidAmountError
from billing.domain.money import parse_dollars
from hosting.web.fields import CommandField, DollarsField
from marketplace.domain.rent import RentRequest
from marketplace.models import Instance

SUGGESTED_DISK_GB = 10
MOST_KEY_CHARS = 64
MOST_BID_CHARS = 24
ON_DEMAND = Instance.RentalType.ON_DEMAND.value
INTERRUPTIBLE = Instance.RentalType.INTERRUPTIBLE.value
_PORT = re.compile(r"(?P<number>[0-9]{1,5})(?:/(?P<protocol>tcp|udp))?")


CHECKED_WHILE_PASTED = {
    "hx-post": reverse_lazy("ssh_key_check"),
    "hx-trigger": "input changed delay:300ms",
    "hx-target": "#key-check",
    "hx-swap": "innerHTML",
    "hx-params": "ssh_key",
}
"""Attributes of a box for a public key: what is wrong with it is told at once."""


class PortsField(forms.CharField):
    """ "8080, 5000/udp" in the browser, pairs of number and protocol in Python."""

    def to_python(self, value: Any) -> Any:
        words = (super().to_python(value) or "").replace(",", " ").split()
        return tuple(_port(word) for word in words)


def _port(word: str) -> tuple[int, str]:
    match = _PORT.fullmatch(word.lower())
    if match is None:
        raise ValidationError(f"{word[:20]!r} is not a port. Write for example: 8080, 5000/udp")
    return int(match["number"]), match["protocol"] or "tcp"


class EnvironmentWidget(forms.Widget):
    """Rows of name and value; the template draws them."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[tuple[str, str]]:  # noqa: ARG002 - the framework's signature
        if not isinstance(data, QueryDict):
            return []
        names, values = data.getlist(f"{name}_name"), data.getlist(f"{name}_value")
        return [(key.strip(), value) for key, value in zip(names, values, strict=False) if key.strip() or value]


class EnvironmentField(forms.Field):
    """Environment variables: rows in the browser, a dict in Python."""

    widget = EnvironmentWidget

    def clean(self, value: Any) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, content in value or []:
            if name in found:
                raise ValidationError(f"{name} is given twice.")
            found[name] = content
        return found


class BidField(DollarsField):
    """A bid in dollars per hour for all GPUs; micro-dollars in Python."""

    def to_python(self, value: Any) -> Any:
        if len(value or "") > MOST_BID_CHARS:
            raise ValidationError("This is too long for an amount in dollars such as 0.25.")
        return super().to_python(value)


def micros_typed(value: object) -> int | None:
    """The micro-dollars of a bid as typed or suggested; None for what is no bid."""
    if isinstance(value, int):
        return value
    try:
        micros = parse_dollars(str(value or "").strip().removeprefix("$"))
    except InvalidAmountError:
        return None
    return micros if micros > 0 else None


class RentForm(forms.Form):
    """How a client wants to rent, and the container it wants. The bid is called ``price``, as in refusals."""

    rental_type = forms.ChoiceField(
        label="Rental type",
        choices=[(ON_DEMAND, "On demand"), (INTERRUPTIBLE, "Interruptible")],
        widget=forms.RadioSelect,
        error_messages={"required": "Choose how to rent: on demand or interruptible."},
    )
    price = BidField(label="Your bid", required=False)
    accepts_waiting = forms.BooleanField(label="Wait for my turn if the bid does not win now", required=False)
    idempotency_key = forms.CharField(required=False, widget=forms.HiddenInput)
    image = forms.CharField(
        label="Image",
        required=False,  # the service says better what an image looks like
        widget=forms.TextInput(attrs={"placeholder": "ubuntu:22.04", "autocomplete": "off", "spellcheck": "false"}),
    )
    disk_gb = forms.IntegerField(label="Disk")
    mode = forms.ChoiceField(
        label="Launch mode", choices=[("ssh", "SSH"), ("args", "Custom command")], widget=forms.RadioSelect
    )
    args = CommandField(
        label="Command and arguments",
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "python train.py --epochs 3", "autocomplete": "off"}),
    )
    entrypoint = forms.CharField(
        label="Entrypoint", required=False, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    env = EnvironmentField(label="Environment", required=False)
    ports = PortsField(
        label="Ports to open",
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "8080, 5000/udp", "autocomplete": "off"}),
    )
    onstart = forms.CharField(
        label="On-start script",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 3, "class": "font-monospace", "spellcheck": "false"}),
    )
    label = forms.CharField(label="Label", required=False, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    ssh_key = forms.CharField(
        label="Your public SSH key",
        required=False,
        strip=False,
        widget=forms.Textarea(
            attrs={
                "rows": 3,
                "placeholder": "ssh-ed25519 AAAA… you@your-computer",
                "spellcheck": "false",
                **CHECKED_WHILE_PASTED,
            }
        ),
    )

    def clean(self) -> dict[str, Any]:
        """A bid is needed where one bids, and what stands in the field is nobody's concern elsewhere."""
        data = self.cleaned_data
        if data.get("rental_type") != INTERRUPTIBLE:
            self.errors.pop("price", None)
        elif "price" not in self.errors and data.get("price") is None:
            self.add_error("price", "Name your bid: dollars per hour for all GPUs together.")
        return data

    def env_rows(self) -> list[tuple[str, str]]:
        """The rows as typed, for drawing them again."""
        value = self["env"].value()
        return list(value) if value else []

    def rent_request(self) -> RentRequest:
        """What the service is asked for."""
        data = self.cleaned_data
        is_ssh = data["mode"] == "ssh"
        is_bid = data["rental_type"] == INTERRUPTIBLE
        return RentRequest(
            bid_micros_per_hour=data["price"] if is_bid else None,
            accepts_waiting=is_bid and data["accepts_waiting"],
            idempotency_key=data["idempotency_key"][:MOST_KEY_CHARS],
            image=data["image"].strip(),
            disk_gb=data["disk_gb"],
            mode=data["mode"],
            runtype=data["mode"],
            args=() if is_ssh else data["args"],
            entrypoint="" if is_ssh else data["entrypoint"].strip(),
            env=data["env"],
            ports=data["ports"],
            onstart=data["onstart"].replace("\r\n", "\n") if is_ssh else "",
            label=data["label"].strip(),
        )
