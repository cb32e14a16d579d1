"""The SSH keys of one instance, and what is said of a key while it is being pasted."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from marketplace import selectors
from marketplace.access import instance_for
from marketplace.domain.ssh_key_text import MAX_KEY_CHARS
from marketplace.errors import MarketError
from marketplace.services.instance_keys import instance_key_attach, instance_key_detach
from marketplace.services.keys import key_checked, key_fingerprint
from marketplace.web.forms import SshKeyForm
from marketplace.web.requests import UserRequest


@login_required
@require_http_methods(["GET", "POST"])
def keys(request: UserRequest, instance_id: int) -> HttpResponse:
    """The dialog with all keys that open the instance; a pasted one is attached."""
    found = instance_for(request.user, instance_id)
    form = SshKeyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            key = instance_key_attach(
                user=request.user, instance_id=found.pk, text=form.cleaned_data["ssh_key"], now=timezone.now()
            )
        except MarketError as refusal:
            form.add_error("ssh_key", refusal.message)
        else:
            messages.success(request, f"Key {key.fingerprint} opens instance {found.pk} within seconds.")
            return _changed(request, found.pk)
    context = {
        "instance": found,
        "form": form,
        "own_keys": found.ssh_keys.order_by("pk"),
        "account_keys": selectors.ssh_keys_of(request.user),
    }
    return render(request, "marketplace/instance_keys.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def detach(request: UserRequest, instance_id: int, key_id: int) -> HttpResponse:
    """Lock a key of its own out of the instance."""
    instance_key_detach(user=request.user, instance_id=instance_id, key_id=key_id, now=timezone.now())
    messages.success(request, f"The key no longer opens instance {instance_id}.")
    return _changed(request, instance_id)


@login_required
@require_POST
def check(request: UserRequest) -> HttpResponse:
    """What a pasted text is, before it is sent: a key, or why not. Keeps nothing."""
    text = request.POST.get("ssh_key", "")[: MAX_KEY_CHARS + 1]
    context: dict[str, object] = {}
    if text.strip():
        try:
            parts = key_checked(text)
            context = {"key_type": parts.key_type, "fingerprint": key_fingerprint(parts), "comment": parts.comment}
        except MarketError as refusal:
            context = {"problem": refusal.message}
    return render(request, "marketplace/_key_check.html", context)


def _changed(request: UserRequest, instance_id: int) -> HttpResponse:
    """The page that asked refreshes what it shows; without scripts, the instance is shown."""
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Trigger": '{"dialog-close": {}, "instances-changed": {}}'})
    return redirect("instance", instance_id)
