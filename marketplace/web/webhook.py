"""The account's webhook: form in, service, page out."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from marketplace import selectors
from marketplace.errors import MarketError
from marketplace.services.webhooks import webhook_remove, webhook_rotate, webhook_set, webhook_test
from marketplace.web.account import DELIVERIES_SHOWN, account_page
from marketplace.web.forms import WebhookForm
from marketplace.web.requests import UserRequest


@login_required
@require_POST
def save(request: UserRequest) -> HttpResponse:
    """Set or change the URL; the first time shows the secret, this once."""
    form = WebhookForm(request.POST)
    if not form.is_valid():
        return account_page(request, webhook_form=form, status=422)
    try:
        secret = webhook_set(user=request.user, url=form.cleaned_data["url"], now=timezone.now())
    except MarketError as refusal:
        form.add_error("url", refusal.message)
        return account_page(request, webhook_form=form, status=422)
    if secret:
        return account_page(request, new_webhook_secret=secret)
    messages.success(request, "Saved. Events go to this URL from now on.")
    return redirect("account")


@login_required
@require_POST
def rotate(request: UserRequest) -> HttpResponse:
    """Make a new secret and show it, this once."""
    return account_page(request, new_webhook_secret=webhook_rotate(user=request.user, now=timezone.now()))


@login_required
@require_POST
def remove(request: UserRequest) -> HttpResponse:
    """Send nothing any more."""
    webhook_remove(user=request.user, now=timezone.now())
    messages.success(request, "The webhook is removed. You still get mails.")
    return redirect("account")


@login_required
@require_POST
def test(request: UserRequest) -> HttpResponse:
    """Queue a test event."""
    webhook_test(user=request.user, now=timezone.now())
    messages.success(request, "A test event is on its way. How it ends shows below in a moment.")
    return redirect("account")


@login_required
@require_GET
def deliveries(request: UserRequest) -> HttpResponse:
    """The list of recent deliveries and the webhook's health alone, for polling."""
    context = {
        "webhook": selectors.webhook_of(request.user),
        "deliveries": selectors.webhook_deliveries_of(request.user)[:DELIVERIES_SHOWN],
        "now": timezone.now(),
    }
    return render(request, "marketplace/_webhook_deliveries.html", context)
