"""The dialog in which files are copied from another instance, and the button that ends it."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from marketplace.access import instance_for
from marketplace.domain import instance_states as states
from marketplace.errors import MarketError
from marketplace.models import Instance
from marketplace.selectors import instances_of
from marketplace.services.copies import copies_cancel, copy_begin
from marketplace.web.instances import changed
from marketplace.web.requests import UserRequest


class CopyForm(forms.Form):
    """From where to where."""

    source = forms.TypedChoiceField(label="From the instance", coerce=int)
    source_path = forms.CharField(
        label="Path there", strip=False, required=False, widget=forms.TextInput(attrs={"placeholder": "/root/data/"})
    )
    target_path = forms.CharField(
        label="Path here", strip=False, required=False, widget=forms.TextInput(attrs={"placeholder": "/root/data/"})
    )

    def __init__(self, others: Sequence[Instance], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["source"]
        if isinstance(field, forms.TypedChoiceField):
            field.choices = [(one.pk, f"C.{one.pk} {one.label}".strip()) for one in others]


@login_required
@require_http_methods(["GET", "POST"])
def copy(request: UserRequest, instance_id: int) -> HttpResponse:
    """Ask from where, and begin."""
    target = instance_for(request.user, instance_id)
    running = instances_of(request.user).filter(state=states.RUNNING).exclude(mode="args")
    others = list(running.exclude(pk=target.pk))
    form = CopyForm(others, request.POST or None)
    if request.method == "POST" and form.is_valid() and _begun(request, form, target):
        messages.success(request, f"The copy to instance {target.pk} has begun.")
        return changed(request)
    context = {"instance": target, "form": form, "others": others, "is_running": target.state == states.RUNNING}
    return render(request, "marketplace/copy.html", context, status=422 if form.errors else 200)


def _begun(request: UserRequest, form: CopyForm, target: Instance) -> bool:
    """Begin the copy; on a refusal put it beside its field."""
    data = form.cleaned_data
    try:
        copy_begin(
            user=request.user,
            source_id=data["source"],
            target_id=target.pk,
            source_path=data["source_path"],
            target_path=data["target_path"],
            now=timezone.now(),
        )
    except MarketError as refusal:
        form.add_error(refusal.field if refusal.field in form.fields else None, refusal.message)
        return False
    return True


@login_required
@require_POST
def cancel(request: UserRequest, instance_id: int) -> HttpResponse:
    """End the copies into an instance."""
    ended = copies_cancel(user=request.user, target_id=instance_id, now=timezone.now())
    messages.success(request, "The copy is canceled. What has arrived is kept." if ended else "Nothing is copied now.")
    return changed(request)
