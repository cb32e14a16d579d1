"""The rent dialog's form. Field names are those of ``RentRequest``, so refusals of the service find their field."""

import re
from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.urls import reverse_lazy

from billing.domain.errors import InvalidAmountError
from billing.domain.money import parse_dollars
from hosting.domain.registries import Login, registry_of
from hosting.web.fields import CommandField, DollarsField
from marketplace.domain.rent import RentRequest
from marketplace.domain.templates import TemplateContent
from marketplace.models import Instance
from marketplace.web.volume_form import AttachMixin

SUGGESTED_DISK_GB = 10
MOST_KEY_CHARS = 64
MOST_BID_CHARS = 24
ON_DEMAND = Instance.RentalType.ON_DEMAND.value
OTHER_LOGIN = "+"
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


class JupyterField(forms.ChoiceField):
    """Whether it is to be JupyterLab: a choice in the browser, a bool in Python."""

    def __init__(self) -> None:
        choices = [("True", "JupyterLab"), ("False", "Notebook")]
        super().__init__(label="Interface", choices=choices, required=False)

    def clean(self, value: Any) -> Any:
        return super().clean(value) != "False"


class DirectoryField(forms.CharField):
    """What Jupyter shows."""

    def __init__(self) -> None:
        attrs = {"placeholder": "/", "autocomplete": "off", "spellcheck": "false"}
        super().__init__(label="Directory", required=False, widget=forms.TextInput(attrs=attrs))


class RentForm(AttachMixin):
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
    template = forms.CharField(required=False, widget=forms.HiddenInput)
    image = forms.CharField(
        label="Image",
        required=False,  # the service says better what an image looks like
        widget=forms.TextInput(attrs={"placeholder": "ubuntu:22.04", "autocomplete": "off", "spellcheck": "false"}),
    )
    disk_gb = forms.IntegerField(label="Disk")
    mode = forms.ChoiceField(
        label="Launch mode",
        choices=[("ssh", "SSH"), ("jupyter", "Jupyter"), ("args", "Custom command")],
        widget=forms.RadioSelect,
    )
    use_jupyter_lab = JupyterField()
    jupyter_dir = DirectoryField()
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
    image_login = forms.ChoiceField(label="Registry login", required=False, choices=[("", "None: a public image")])
    login_username = forms.CharField(
        label="User name", required=False, widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})
    )
    login_password = forms.CharField(
        label="Password or access token",
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
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

    def __init__(self, data: Any = None, *, initial: Any = None, registries: Iterable[str] = ()) -> None:
        """``registries`` are those that the client keeps logins to."""
        super().__init__(data, initial=initial)
        field = self.fields["image_login"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - narrows the type
        kept = [(registry, f"Mine to {registry}") for registry in registries]
        field.choices = [("", "None: a public image"), *kept, (OTHER_LOGIN, "Another one")]

    def given_login(self) -> Login | None:
        """The login that is typed in, for the registry of the image."""
        data = self.cleaned_data
        if data["image_login"] != OTHER_LOGIN:
            return None
        registry = registry_of(data["image"].strip())
        return Login(registry=registry, username=data["login_username"].strip(), password=data["login_password"])

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
        is_args, is_jupyter = data["mode"] == "args", data["mode"] == "jupyter"
        is_bid = data["rental_type"] == INTERRUPTIBLE
        return RentRequest(
            bid_micros_per_hour=data["price"] if is_bid else None,
            accepts_waiting=is_bid and data["accepts_waiting"],
            idempotency_key=data["idempotency_key"][:MOST_KEY_CHARS],
            image=data["image"].strip(),
            disk_gb=data["disk_gb"],
            mode=data["mode"],
            runtype=data["mode"],
            args=data["args"] if is_args else (),
            entrypoint=data["entrypoint"].strip() if is_args else "",
            env=data["env"],
            ports=data["ports"],
            onstart="" if is_args else data["onstart"].replace("\r\n", "\n"),
            label=data["label"].strip(),
            volumes=self.volume_wishes(),
            use_jupyter_lab=is_jupyter and data["use_jupyter_lab"],
            jupyter_dir=data["jupyter_dir"].strip() if is_jupyter else "",
        )


def template_initial(content: TemplateContent) -> dict[str, Any]:
    """What a template puts into the form's fields, but for the disk."""
    return {
        "template": content.hash_id,
        "image": content.full_image,
        "image_login": content.docker_login_repo,
        "mode": content.runtype,
        "use_jupyter_lab": content.use_jupyter_lab,
        "jupyter_dir": content.jupyter_dir,
        "args": content.args,
        "entrypoint": content.entrypoint,
        "env": list(content.env.items()),
        "ports": ports_text(content.ports),
        "onstart": content.onstart,
    }


def ports_text(ports: Iterable[tuple[int, str]]) -> str:
    """Ports as one types them: tcp is what is meant where nothing is said."""
    return ", ".join(str(port) if protocol == "tcp" else f"{port}/{protocol}" for port, protocol in ports)
