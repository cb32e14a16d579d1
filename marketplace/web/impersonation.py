"""Staff see the site as an account does, to help its owner, and change nothing in its name."""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django_htmx.http import trigger_client_event

from marketplace.models import User
from marketplace.web.acting import SAFE_METHODS, staff_behind

WAY_BACK = "hijack:release"
SECRETS = frozenset(
    {
        "instance_connect",
        "instance_jupyter",
        "instance_logs",
        "instance_log_tail",
        "template",
        "template_edit",
        "template_copy",
        "instance_command_outcome",
        "host_payout_stripe",
        "host_payout_stripe_return",
        "host_payout_paypal_return",
        "billing_payment_returned",
        "billing_payment_confirm",
    }
)
"""Pages with what only the account's owner may see, and ways to and from payment providers."""
CHANGES_NOTHING = "You see the site as {email}. Nothing can be changed in somebody else's name."
IS_SECRET = "You see the site as {email}. This page may show secrets, so it is for the owner alone."  # noqa: S105  # a text


def may_impersonate(*, hijacker: User, hijacked: User | None) -> bool:
    """Whether this member of staff may see the site as that account: never as other staff, never from within."""
    if hijacked is None or getattr(hijacker, "is_hijacked", False):
        return False
    is_client = hijacked.is_active and not hijacked.is_staff and not hijacked.is_superuser
    return hijacker.is_staff and hijacker.has_perm("marketplace.impersonate_account") and is_client


class ImpersonationMiddleware:
    """Refuses what staff who see the site as somebody else must not do or see there."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, _view: object, _args: object, _kwargs: object) -> HttpResponse | None:
        """A refusal, where one is due."""
        found = request.resolver_match
        if found is None or staff_behind(request) is None or found.view_name == WAY_BACK:
            return None
        if request.method not in SAFE_METHODS:
            return _refused(request, CHANGES_NOTHING)
        if found.url_name in SECRETS or found.route.startswith("accounts/"):
            return _refused(request, IS_SECRET)
        return None


def _refused(request: HttpRequest, sentence: str) -> HttpResponse:
    text = sentence.format(email=request.user)
    if request.headers.get("HX-Request"):
        return trigger_client_event(HttpResponse(status=403), "toast", {"level": "error", "text": text})
    messages.error(request, text)
    return redirect("instances")
