"""What renters fill in about their account and instances."""

from django import forms


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
