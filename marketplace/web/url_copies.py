"""The dialog in which a file is copied from a URL or to one."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from marketplace.access import instance_for
from marketplace.domain import instance_states as states
from marketplace.domain.url_copies import DEFAULT_REGION, S3Object, UrlCopyRequest
from marketplace.errors import MarketError
from marketplace.services.url_copies import url_copy_begin, url_copy_cancel
from marketplace.web.instances import changed
from marketplace.web.requests import UserRequest

_SECRET = {"autocomplete": "off", "spellcheck": "false"}


def _text(label: str, placeholder: str = "") -> forms.CharField:
    widget = forms.TextInput(attrs={"placeholder": placeholder, **_SECRET})
    return forms.CharField(label=label, required=False, widget=widget)


class UrlCopyForm(forms.Form):
    """What to copy. The fields from ``endpoint`` on are for S3-compatible stores."""

    direction = forms.ChoiceField(
        label="Direction",
        choices=[("download", "To the instance"), ("upload", "From the instance")],
        initial="download",
    )
    path = _text("Path in the instance", "/root/data/")
    url = _text("Address", "https://example.com/data.tar.gz")
    endpoint = _text("Endpoint", "https://s3.eu-central-1.amazonaws.com")
    bucket = _text("Bucket")
    key = _text("Key", "folder/data.tar.gz")
    region = _text("Region", DEFAULT_REGION)
    access_key = _text("Access key")
    secret_key = forms.CharField(label="Secret key", required=False, widget=forms.PasswordInput(attrs=_SECRET))

    def wanted(self) -> UrlCopyRequest:
        """What the service is asked for."""
        data = self.cleaned_data
        s3 = None
        if any(data[name] for name in ("endpoint", "bucket", "key", "access_key", "secret_key")):
            s3 = S3Object(
                endpoint=data["endpoint"],
                bucket=data["bucket"],
                key=data["key"],
                access_key=data["access_key"],
                secret_key=data["secret_key"],
                region=data["region"] or DEFAULT_REGION,
            )
        return UrlCopyRequest(direction=data["direction"], path=data["path"], url=data["url"], s3=s3)


@login_required
@require_http_methods(["GET", "POST"])
def url_copy(request: UserRequest, instance_id: int) -> HttpResponse:
    """Ask what to copy, and begin."""
    instance = instance_for(request.user, instance_id)
    form = UrlCopyForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _begun(request, form, instance.pk):
        messages.success(request, f"The copy of instance {instance.pk} has begun.")
        return changed(request)
    context = {"instance": instance, "form": form, "is_running": instance.state == states.RUNNING}
    return render(request, "marketplace/url_copy.html", context, status=422 if form.errors else 200)


def _begun(request: UserRequest, form: UrlCopyForm, instance_id: int) -> bool:
    """Begin the copy; on a refusal put it beside its field."""
    wanted = form.wanted()
    try:
        url_copy_begin(user=request.user, instance_id=instance_id, request=wanted, now=timezone.now())
    except MarketError as refusal:
        field = refusal.field
        if field == "url" and wanted.s3 is not None:
            field = "endpoint"
        form.add_error(field if field in form.fields else None, refusal.message)
        return False
    return True


@login_required
@require_POST
def cancel(request: UserRequest, instance_id: int, job_id: int) -> HttpResponse:
    """End a copy."""
    url_copy_cancel(user=request.user, instance_id=instance_id, job_id=job_id, now=timezone.now())
    messages.success(request, "The copy is canceled.")
    return changed(request)
