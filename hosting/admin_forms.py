"""The admin's forms of this app."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSplitDateTimeWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from hosting.models import QuietPeriod


class QuietPeriodForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """Maintenance of one machine, announced beforehand, or an outage of ours, told afterwards.

    Its fields have other names than the model's: Django would check an empty row under those.
    """

    machine_number = forms.IntegerField(
        required=False,
        min_value=1,
        widget=UnfoldAdminTextInputWidget(),
        help_text="For maintenance. Leave it empty for an outage of the marketplace itself.",
    )
    begins = forms.SplitDateTimeField(widget=UnfoldAdminSplitDateTimeWidget(), help_text="UTC")
    ends = forms.SplitDateTimeField(widget=UnfoldAdminSplitDateTimeWidget(), help_text="UTC")
    why = forms.CharField(max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}))

    class Meta:
        model = QuietPeriod
        fields: list[str] = []

    def period(self) -> dict[str, Any]:
        """What the services call it."""
        data = self.cleaned_data
        return {"starts_at": data["begins"], "ends_at": data["ends"], "note": data["why"]}
