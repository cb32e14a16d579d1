"""The account: profile, SSH keys, API keys; shows the webhook too."""

from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from marketplace import selectors
from marketplace.errors import MarketError
from marketplace.models import Webhook
from marketplace.services.keys import api_key_create, api_key_revoke, ssh_key_add, ssh_key_delete
from marketplace.services.profile import profile_set
from marketplace.web.forms import ApiKeyForm, ProfileForm, RegistryLoginForm, SshKeyForm, WebhookForm
from marketplace.web.requests import UserRequest

DELIVERIES_SHOWN = 10


@login_required
@require_GET
def account(request: UserRequest) -> HttpResponse:
    """Everything about the account on one page."""
    return account_page(request)


def account_page(
    request: UserRequest, *, new_api_key: str = "", new_webhook_secret: str = "", status: int = 200, **forms: Form
) -> HttpResponse:
    """The page, with ``forms`` as they were filled in and with secrets that are shown this once."""
    webhook = selectors.webhook_of(request.user)
    context = {
        "profile_form": ProfileForm(initial={"full_name": request.user.full_name}),
        "ssh_key_form": SshKeyForm(),
        "api_key_form": ApiKeyForm(),
        "webhook_form": WebhookForm(initial={"url": _webhook_url(request, webhook)}),
        "registry_login_form": RegistryLoginForm(),
        **forms,
        "registry_logins": selectors.registry_logins_of(request.user),
        "ssh_keys": selectors.ssh_keys_of(request.user),
        "api_keys": selectors.api_keys_of(request.user),
        "new_api_key": new_api_key,
        "webhook": webhook,
        "new_webhook_secret": new_webhook_secret,
        "deliveries": selectors.webhook_deliveries_of(request.user)[:DELIVERIES_SHOWN],
        "now": timezone.now(),
    }
    return render(request, "marketplace/account.html", context, status=status)


def _webhook_url(request: UserRequest, webhook: Webhook | None) -> str:
    """Paths of such URLs are often secrets: staff who see the page as the owner see where it leads, no more."""
    url = "" if webhook is None else webhook.url
    seen_by_staff = getattr(request.user, "is_hijacked", False)
    return f"https://{urlsplit(url).hostname}/…" if url and seen_by_staff else url


@login_required
@require_POST
def profile(request: UserRequest) -> HttpResponse:
    """Change the name that the account shows."""
    form = ProfileForm(request.POST)
    if not form.is_valid():
        return account_page(request, profile_form=form, status=422)
    profile_set(user=request.user, full_name=form.cleaned_data["full_name"])
    messages.success(request, "Saved.")
    return redirect("account")


@login_required
@require_POST
def ssh_key_create(request: UserRequest) -> HttpResponse:
    """Store a pasted public key."""
    form = SshKeyForm(request.POST)
    if not form.is_valid():
        return account_page(request, ssh_key_form=form, status=422)
    try:
        key = ssh_key_add(user=request.user, text=form.cleaned_data["ssh_key"], now=timezone.now())
    except MarketError as refusal:
        form.add_error("ssh_key", refusal.message)
        return account_page(request, ssh_key_form=form, status=422)
    messages.success(request, f"Key {key.fingerprint} opens your instances now, running ones too.")
    return redirect("account")


@login_required
@require_POST
def ssh_key_remove(request: UserRequest, key_id: int) -> HttpResponse:
    """Forget a public key."""
    ssh_key_delete(user=request.user, key_id=key_id, now=timezone.now())
    messages.success(request, "The key is deleted and no longer opens your instances.")
    return redirect("account")


@login_required
@require_POST
def api_key_make(request: UserRequest) -> HttpResponse:
    """Make an API key and show it, this once."""
    form = ApiKeyForm(request.POST)
    if not form.is_valid():
        return account_page(request, api_key_form=form, status=422)
    try:
        _, raw = api_key_create(user=request.user, name=form.cleaned_data["name"], now=timezone.now())
    except MarketError as refusal:
        form.add_error("name", refusal.message)
        return account_page(request, api_key_form=form, status=422)
    return account_page(request, new_api_key=raw)


@login_required
@require_POST
def api_key_end(request: UserRequest, key_id: int) -> HttpResponse:
    """Make an API key useless."""
    api_key_revoke(user=request.user, key_id=key_id, now=timezone.now())
    messages.success(request, "The API key is revoked.")
    return redirect("account")
