"""Feature flags in the administration, changed through their service."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin
from waffle.admin import FlagAdmin
from waffle.models import Flag, Sample, Switch

from marketplace.domain.features import FEATURES
from marketplace.models import Feature, User
from marketplace.services.features import feature_switch, features_list

OWN_PAGE = FlagAdmin
"""waffle registers pages of its own when it is imported; they make way for the one below."""
for model in (Flag, Sample, Switch):
    admin.site.unregister(model)


class FeatureForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """Refuses what the service would."""

    class Meta:
        model = Feature
        fields = ("everyone", "percent", "users")
        labels = {"everyone": "On for everybody", "percent": "Share of all others, %", "users": "Accounts"}
        help_texts = {
            "everyone": "Unknown: on for the accounts and the share below, off for everybody else.",
            "percent": "Counts with Unknown only: the feature is on for this share of the accounts not named below.",
            "users": "Counts with Unknown only: the feature is on for these.",
        }

    def clean_everyone(self) -> bool | None:
        """Some features are nobody's in particular."""
        everyone: bool | None = self.cleaned_data["everyone"]
        feature = FEATURES.get(self.instance.name)
        if everyone is None and feature is not None and not feature.by_account:
            raise forms.ValidationError("This one is on or off for everybody.")
        return everyone


@admin.register(Feature)
class FeatureAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """One row for each feature; nobody adds or deletes any."""

    form = FeatureForm
    list_display = ("name", "everyone", "percent", "without", "modified")
    ordering = ("name",)
    readonly_fields = ("name", "without")
    fields = ("name", "without", "everyone", "percent", "users")
    autocomplete_fields = ("users",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        features_list()
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.filter(name__in=FEATURES)

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, *_: object) -> bool:
        return False

    @admin.display(description="While it is off")
    def without(self, flag: Feature) -> str:
        feature = FEATURES.get(flag.name)
        return feature.without if feature else ""

    def save_model(self, request: HttpRequest, obj: Feature, form: FeatureForm, _change: bool) -> None:
        assert isinstance(request.user, User)  # noqa: S101  # for the type checker
        data = form.cleaned_data
        feature_switch(
            name=obj.name,
            everyone=data["everyone"],
            percent=data["percent"],
            accounts=list(data["users"]),
            actor=request.user,
            now=timezone.now(),
        )

    def save_related(self, _request: HttpRequest, _form: object, _formsets: object, _change: bool) -> None:
        """The service has done it."""
