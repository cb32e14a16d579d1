"""Forms of volumes: one by itself, and the part of the rent dialog that attaches one."""

from collections.abc import Iterable
from typing import Any

from django import forms

from hosting.domain.volumes import USABLE, clean_path
from hosting.models import Volume
from marketplace.access import volumes_of
from marketplace.domain.rent import VolumeWish
from marketplace.models import Offer, User

SUGGESTED_SIZE_GB = 50
SUGGESTED_PATH = "/data"
NEW = "+"
MOST_KEY_CHARS = 64
_QUIET = {"autocomplete": "off", "spellcheck": "false"}


class VolumeForm(forms.Form):
    """A new volume. Field names are those of refusals."""

    size = forms.IntegerField(label="Size")
    name = forms.CharField(label="Name", required=False, widget=forms.TextInput(attrs=_QUIET | {"placeholder": "data"}))
    key = forms.CharField(required=False, max_length=MOST_KEY_CHARS, widget=forms.HiddenInput)


class AttachMixin(forms.Form):
    """What the rent dialog asks about a volume."""

    volume_info = forms.ChoiceField(label="Volume", required=False, choices=[("", "None")])
    volume_size = forms.IntegerField(label="Size", required=False, initial=SUGGESTED_SIZE_GB)
    volume_name = forms.CharField(
        label="Name", required=False, widget=forms.TextInput(attrs=_QUIET | {"placeholder": "data"})
    )
    volume_path = forms.CharField(
        label="Mount path", required=False, initial=SUGGESTED_PATH, widget=forms.TextInput(attrs=_QUIET)
    )

    def offer_volumes(self, volumes: Iterable[Volume]) -> None:
        """Let one of these, or a new one, be chosen."""
        field = self.fields["volume_info"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - narrows the type
        kept = [(str(volume.pk), f"{volume.name}, {volume.size_gb} GB") for volume in volumes]
        field.choices = [("", "None"), *kept, (NEW, "A new volume")]

    def volume_wishes(self) -> tuple[VolumeWish, ...]:
        """What was chosen."""
        data: dict[str, Any] = self.cleaned_data
        chosen, path = data["volume_info"], clean_path(data["volume_path"].strip() or SUGGESTED_PATH)
        if not chosen:
            return ()
        if chosen != NEW:
            return (VolumeWish(path=path, volume_id=int(chosen)),)
        return (VolumeWish(path=path, name=data["volume_name"].strip(), new_size_gb=data["volume_size"] or 0),)


def attachable(user: User, offer: Offer) -> list[Volume]:
    """The user's volumes on the offer's machine that can be attached."""
    return list(volumes_of(user).filter(machine_id=offer.machine_id, state__in=USABLE))
