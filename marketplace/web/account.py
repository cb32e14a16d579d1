"""The account: profile, SSH keys, API keys."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from marketplace import selectors
from marketplace.errors import MarketError
from marketplace.services.keys import api_key_create, api_key_revoke, ssh_key_add, ssh_key_delete
from marketplace.services.profile import profile_set
from marketplace.web.forms import ApiKeyForm, ProfileForm, SshKeyForm
from marketplace.web.requests import UserRequest


@login_required
@require_GET
def account(request: UserRequest) -> HttpResponse:
    """Everything about the account on one page."""
    return _page(request)


def _page(request: UserRequest, *, new_api_key: str = "", status: int = 200, **forms: Form) -> HttpResponse:
    context = {
        "profile_form": ProfileForm(initial={"full_name": request.user.full_name}),
        "ssh_key_form": SshKeyForm(),
        "api_key_form": ApiKeyForm(),
        **forms,
        "ssh_keys": selectors.ssh_keys_of(request.user),
        "api_keys": selectors.api_keys_of(request.user),
        "new_api_key": new_api_key,
    }
    return render(request, "marketplace/account.html", context, status=status)


@login_required
@require_POST
def profile(request: UserRequest) -> HttpResponse:
    """Change the name that the account shows."""
    form = ProfileForm(request.POST)
    if not form.is_valid():
        return _page(request, profile_form=form, status=422)
    profile_set(user=request.user, full_name=form.cleaned_data["full_name"])
    messages.success(request, "Saved.")
    return redirect("account")


@login_required
@require_POST
def ssh_key_create(request: UserRequest) -> HttpResponse:
    """Store a pasted public key."""
    form = SshKeyForm(request.POST)
    if not form.is_valid():
        return _page(request, ssh_key_form=form, status=422)
    try:
        key = ssh_key_add(user=request.user, text=form.cleaned_data["ssh_key"], now=timezone.now())
    except MarketError as refusal:
        form.add_error("ssh_key", refusal.message)
        return _page(request, ssh_key_form=form, status=422)
    messages.success(request, f"Key {key.fingerprint} opens your instances now, running ones too.")
    return redirect("account")


@login_required
@require_POST
def ssh_key_remove(request: UserRequest, key_id: int) -> HttpResponse:
    """Forget a public key."""
    ssh_key_delete(user=request.user, key_id=key_id)
    messages.success(request, "The key is deleted and no longer opens your instances.")
    return redirect("account")


@login_required
@require_POST
def api_key_make(request: UserRequest) -> HttpResponse:
    """Make an API key and show it, this once."""
    form = ApiKeyForm(request.POST)
    if not form.is_valid():
        return _page(request, api_key_form=form, status=422)
    try:
        _, raw = api_key_create(user=request.user, name=form.cleaned_data["name"], now=timezone.now())
    except MarketError as refusal:
        form.add_error("name", refusal.message)
        return _page(request, api_key_form=form, status=422)
    return _page(request, new_api_key=raw)


@login_required
@require_POST
def api_key_end(request: UserRequest, key_id: int) -> HttpResponse:
    """Make an API key useless."""
    api_key_revoke(user=request.user, key_id=key_id, now=timezone.now())
    messages.success(request, "The API key is revoked.")
    return redirect("account")
