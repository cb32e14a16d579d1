"""What renters fill in about their account and instances."""

from typing import Any

from django import forms

from marketplace.web.rent_form import CHECKED_WHILE_PASTED, BidField


class SshKeyForm(forms.Form):
    """The "Change SSH Key" box."""

    ssh_key = forms.CharField(
        label="Public SSH key",
        strip=False,
        required=False,  # the service says better than "this field is required" what to paste
        widget=forms.Textarea(
            attrs={
                "rows": 4,
                "placeholder": "ssh-ed25519 AAAAC3Nza… you@your-computer",
                "spellcheck": "false",
                "autocomplete": "off",
                "class": "font-monospace",
                **CHECKED_WHILE_PASTED,
            }
        ),
    )


class ApiKeyForm(forms.Form):
    """Names a new API key."""

    name = forms.CharField(
        label="Name",
        required=False,  # the service checks the name
        widget=forms.TextInput(attrs={"placeholder": "e.g. laptop", "autocomplete": "off"}),
    )


class WebhookForm(forms.Form):
    """Where events go."""

    url = forms.CharField(
        label="URL",
        required=False,  # the service checks the URL
        widget=forms.URLInput(
            attrs={"placeholder": "https://example.com/hooks/spotyard", "autocomplete": "off", "spellcheck": "false"}
        ),
    )


class ProfileForm(forms.Form):
    """What the account shows about its owner."""

    full_name = forms.CharField(
        label="Name", max_length=150, required=False, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )


class LabelForm(forms.Form):
    """Names an instance."""

    label = forms.CharField(label="Label", required=False, widget=forms.TextInput(attrs={"autocomplete": "off"}))


class BidForm(forms.Form):
    """Another bid for an instance: an amount, or with ``minimum`` whatever wins at this moment."""

    price = BidField(label="Your bid", required=False)
    minimum = forms.BooleanField(required=False, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        """Who bids the minimum need not name it."""
        data = self.cleaned_data
        if data.get("minimum"):
            self.errors.pop("price", None)
        elif "price" not in self.errors and data.get("price") is None:
            self.add_error("price", "Name your bid: dollars per hour for all GPUs together.")
        return data
