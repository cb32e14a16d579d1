"""Clients report the machine of an instance, and take reports back."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from hosting.domain.machine_reports import KINDS
from hosting.errors import HostingError
from hosting.reports_shown import own_reports
from hosting.services.machine_reports import report_withdraw
from marketplace.access import instance_to_report_for
from marketplace.models import Instance
from marketplace.services.machine_reports import machine_report
from marketplace.web.requests import UserRequest


class ReportForm(forms.Form):
    """What is wrong, and how it shows."""

    kind = forms.ChoiceField(label="What is wrong", choices=list(KINDS.items()))
    text = forms.CharField(
        label="What you saw",
        required=False,  # the service says better what to write
        widget=forms.Textarea(attrs={"rows": 5, "placeholder": "When, what you did, and what it said"}),
    )


@login_required
@require_http_methods(["GET", "POST"])
def report(request: UserRequest, instance_id: int) -> HttpResponse:
    """The dialog, with what was reported before; then file it."""
    instance = instance_to_report_for(request.user, instance_id, timezone.now())
    if request.method != "POST":
        return _page(request, instance, ReportForm())
    form = ReportForm(request.POST)
    if not form.is_valid():
        return _page(request, instance, form, status=422)
    try:
        machine_report(
            client=request.user,
            machine_id=instance.machine_id,
            instance_id=instance.pk,
            now=timezone.now(),
            **form.cleaned_data,
        )
    except HostingError as refusal:
        if refusal.field not in form.fields:
            raise
        form.add_error(refusal.field, refusal.message)
        return _page(request, instance, form, status=422)
    messages.success(request, "Reported. The host reads it without your name; you get a mail when it answers.")
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Trigger": '{"dialog-close": {}, "instances-changed": {}}'})
    return _back(instance)


@login_required
@require_POST
def withdraw(request: UserRequest, instance_id: int, report_id: int) -> HttpResponse:
    """Take a report back."""
    report_withdraw(report_id=report_id, reporter=request.user, now=timezone.now())
    messages.success(request, "The report is withdrawn.")
    return _back(instance_to_report_for(request.user, instance_id, timezone.now()))


def _back(instance: Instance) -> HttpResponse:
    return redirect("instances") if instance.destroyed_at else redirect("instance", instance.pk)


def _page(request: UserRequest, instance: Instance, form: ReportForm, *, status: int = 200) -> HttpResponse:
    reports = own_reports(request.user, instance.machine_id)
    context = {"instance": instance, "form": form, "reports": reports}
    return render(request, "marketplace/machine_report.html", context, status=status)
