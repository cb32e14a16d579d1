"""Staff see the site as an account does, to help its owner, and change nothing in its name."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django_htmx.http import trigger_client_event

from marketplace.models import User
from marketplace.services.audit import audit_record
from marketplace.web.acting import SAFE_METHODS, staff_behind

WAY_BACK = "hijack:release"
SINCE = "seen_since"
"""Of the session: since when it is used to see the site as somebody else."""
LONGEST = timedelta(hours=1)
BEFORE_ALL = datetime.min.replace(tzinfo=UTC).isoformat()
PAGES = frozenset(
    {
        "account",
        "billing",
        "billing_balance",
        "billing_charges_csv",
        "billing_month",
        "billing_month_pdf",
        "billing_payment",
        "billing_payment_rows",
        "billing_receipt",
        "billing_statement",
        "billing_statements",
        "billing_summary",
        "healthz",
        "help",
        "host_benchmark_run",
        "host_earnings",
        "host_earnings_csv",
        "host_estimate",
        "host_figures",
        "host_history",
        "host_invoice",
        "host_invoice_csv",
        "host_invoice_pdf",
        "host_jobs",
        "host_machine",
        "host_machine_cards",
        "host_machines",
        "host_payouts",
        "host_prices",
        "host_price_effect",
        "host_room",
        "host_setup",
        "install_script",
        "install_script_digest",
        "instance",
        "instance_bid",
        "instance_bid_cost",
        "instance_cards",
        "instance_destroy",
        "instance_history",
        "instance_keys",
        "instance_live",
        "instance_move",
        "instance_report",
        "instances",
        "rent_price",
        "search",
        "template_choose",
        "templates",
        "volume_cards",
        "volume_create",
        "volume_delete",
        "volume_offers",
        "volumes",
        "webhook_deliveries",
    }
)
"""All that there is to see. Other pages may show what is the owner's alone, such as a private template's variables in
the dialog that rents with it, or lead to payment providers: a new one is seen once somebody has looked at it and named
it here."""
CHANGES_NOTHING = "You see the site as {email}. Nothing can be changed in somebody else's name."
IS_SECRET = "You see the site as {email}. This page may show secrets, so it is for the owner alone."  # noqa: S105  # a text
OVER = "You don't see the site as somebody else any more: that lasts an hour, and as long as it is allowed to you."


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
        found, staff_id = request.resolver_match, staff_behind(request)
        if found is None or staff_id is None or found.view_name == WAY_BACK:
            return None
        if not _may_go_on(request, staff_id):
            return _end(request, staff_id)
        if request.method not in SAFE_METHODS:
            return _refused(request, CHANGES_NOTHING)
        if found.view_name not in PAGES and not found.route.startswith("api/"):
            return _refused(request, IS_SECRET)  # of the API's callers the key counts, not who is signed in
        return None


def _may_go_on(request: HttpRequest, staff_id: int) -> bool:
    """Whether who is behind the request may still see the site as its user: rights end, people are suspended."""
    staff = User.objects.filter(pk=staff_id, suspended_at=None).first()
    seen = User.objects.filter(pk=request.user.pk or 0).first()
    since = datetime.fromisoformat(request.session.get(SINCE, BEFORE_ALL))
    in_time = timezone.now() - since < LONGEST
    return in_time and staff is not None and may_impersonate(hijacker=staff, hijacked=seen)


def _end(request: HttpRequest, staff_id: int) -> HttpResponse:
    """Sign out, of both accounts: who may no longer look may have no business here at all."""
    staff, now = User.objects.filter(pk=staff_id).first(), timezone.now()
    audit_record(
        action="impersonation.ended", actor=staff, account_id=request.user.pk, message="by the marketplace", now=now
    )
    request.session.flush()
    request.user = AnonymousUser()
    messages.error(request, OVER)
    return redirect(settings.LOGIN_URL)


def _refused(request: HttpRequest, sentence: str) -> HttpResponse:
    text = sentence.format(email=request.user)
    if request.headers.get("HX-Request"):
        return trigger_client_event(HttpResponse(status=403), "toast", {"level": "error", "text": text})
    messages.error(request, text)
    return redirect("instances")
