"""The earnings estimator: for anybody who thinks of becoming a host."""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from dlperf.catalogue import gpu_models
from hosting.domain.earning_estimate import WINDOW_DAYS
from hosting.estimates import earning_estimate, estimated_gpu_names, yields_computed_at

MOST_GPUS = 16


class EstimateForm(forms.Form):
    """Which GPU, and how many."""

    gpu_name = forms.ChoiceField(label="GPU")
    gpus = forms.IntegerField(label="How many", min_value=1, max_value=MOST_GPUS)

    def __init__(self, *args: object, names: list[str]) -> None:
        super().__init__(*args)  # type: ignore[arg-type]  # data or nothing
        self.fields["gpu_name"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]  # a ChoiceField


@require_GET
def estimate(request: HttpRequest) -> HttpResponse:
    """The form, and what it finds."""
    names = sorted(set(estimated_gpu_names()) | gpu_models().keys())
    asked = "gpu_name" in request.GET
    form = (
        EstimateForm(request.GET, names=names)
        if asked
        else EstimateForm({"gpu_name": _first(names), "gpus": 1}, names=names)
    )
    context: dict[str, object] = {"form": form, "window_days": WINDOW_DAYS, "computed_at": yields_computed_at()}
    if form.is_valid():
        context |= {"estimate": earning_estimate(**form.cleaned_data), **form.cleaned_data}
    return render(request, "hosting/estimate.html", context, status=422 if asked and form.errors else 200)


def _first(names: list[str]) -> str:
    measured = estimated_gpu_names()
    return measured[0] if measured else names[0] if names else ""
