"""The rent dialog's form. Field names are those of ``RentRequest``, so refusals of the service find their field."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from hosting.web.fields import CommandField
from marketplace.domain.rent import RentRequest

SUGGESTED_DISK_GB = 10
_PORT = re.compile(r"(?P<number>[0-9]{1,5})(?:/(?P<protocol>tcp|udp))?")


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

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[tuple[str, str]]:  # noqa: ARG002
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


class RentForm(forms.Form):
    """The container a client wants."""

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
            attrs={"rows": 3, "placeholder": "ssh-ed25519 AAAA… you@your-computer", "spellcheck": "false"}
        ),
    )

    def env_rows(self) -> list[tuple[str, str]]:
        """The rows as typed, for drawing them again."""
        value = self["env"].value()
        return list(value) if value else []

    def rent_request(self) -> RentRequest:
        """What the service is asked for."""
        data = self.cleaned_data
        is_ssh = data["mode"] == "ssh"
        return RentRequest(
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
