"""Pages of hosts: form in, service, page out. Refusals that belong to no field are answered by the middleware."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing import selectors as billing
from billing.web.requests import AccountRequest
from hosting import hooks, selectors
from hosting.access import machine_for
from hosting.domain.listing import LONGEST
from hosting.errors import HostingError
from hosting.installer import careful_command, install_command, install_script
from hosting.machine_cards import machine_cards as machine_cards_of
from hosting.market_prices import maintenance_of
from hosting.models import Listing, Machine, MachineEvent
from hosting.reliability_report import REPORTED, reliability_report
from hosting.reports_shown import SHOWN, reports_of
from hosting.services.install_tokens import install_token_create, install_token_revoke
from hosting.services.lifetimes import lifetimes_extend
from hosting.services.listing import listing_end, listing_set
from hosting.web.benchmarks import benchmark_context
from hosting.web.figures import history_context, machine_now
from hosting.web.forms import ExtendForm, InstallTokenForm, PricesForm
from hosting.web.price_effect import price_effect
from hosting.web.reachability import reachability_context
from hosting.web.verification import verification_context

EVENTS_SHOWN = 50


@login_required
@require_GET
def machines(request: AccountRequest) -> HttpResponse:
    """All machines of the host."""
    return render(request, "hosting/machines.html", _machines_context(request))


@login_required
@require_GET
def machine_cards(request: AccountRequest) -> HttpResponse:
    """The cards alone, for polling."""
    return render(request, "hosting/_machine_cards.html", _machines_context(request))


def _machines_context(request: AccountRequest) -> dict[str, Any]:
    now = timezone.now()
    own = list(selectors.machines_of(request.user))
    return {
        "machines": machine_cards_of(request.user, own, now),
        "gpus_in_use": sum(machine.gpus_in_use for machine in own),
        "gpus_total": sum(machine.gpu_count for machine in own),
        "machines_online": sum(machine.online for machine in own),
        "earnings_micros": billing.host_earnings_micros(request.user, now),
        "now": now,
    }


@login_required
@require_GET
def machine(request: AccountRequest, machine_id: int) -> HttpResponse:
    """One machine: hardware, GPUs, terms, benchmarks, what happened to it."""
    found = machine_for(request.user, machine_id)
    now = timezone.now()
    return render(
        request,
        "hosting/machine.html",
        {
            "machine": found,
            "gpus": selectors.gpus_with_use(found),
            "bid_floor_micros": selectors.bid_floor_micros(found),
            "sandbox_problem": selectors.listed_sandbox_problem(found),
            "figures": machine_now(found),
            **history_context(found, request.GET.get("period", ""), reverse("host_history", args=[found.pk]), now),
            **benchmark_context(found),
            **verification_context(found),
            **reachability_context(found),
            "maintenance": maintenance_of([found.pk], now),
            "events": _events_shown(found),
            "reports": reports_of(found)[:SHOWN],
            "report": reliability_report(found, now=now),
            "reported_days": REPORTED.days,
            "now": now,
        },
    )


def _events_shown(found: Machine) -> QuerySet[MachineEvent]:
    """The latest events; launches that went well would hide all others."""
    events = found.events.exclude(kind="launched").select_related("actor")
    return events.order_by("-at", "-pk")[:EVENTS_SHOWN]


@login_required
@require_http_methods(["GET", "POST"])
def prices(request: AccountRequest, machine_id: int) -> HttpResponse:
    """Set Prices: lists the machine, or changes the terms of new rentals."""
    found = machine_for(request.user, machine_id)
    now = timezone.now()
    if request.method != "POST":
        return _prices_page(request, found, PricesForm.for_machine(found, now=now))
    form = PricesForm(request.POST)
    if not form.is_valid():
        return _prices_page(request, found, form, status=422)
    try:
        listing_set(machine_id=found.pk, host=request.user, terms=form.terms(), now=now)
    except HostingError as refusal:
        if refusal.field not in form.fields:
            raise
        form.add_error(refusal.field, refusal.message)
        return _prices_page(request, found, form, status=422)
    messages.success(request, f"Machine {found.pk} is listed at these prices. Running rentals keep theirs.")
    return machines_changed(request)


def _prices_page(request: HttpRequest, found: Any, form: PricesForm, *, status: int = 200) -> HttpResponse:
    context = {"machine": found, "form": form, **price_effect(found, _typed(form))}
    return render(request, "hosting/prices.html", context, status=status)


def _typed(form: PricesForm) -> str:
    """The price in dollars, as it stands in the field."""
    return str(form["gpu_micros_per_hour"].value() or "")


@login_required
@require_http_methods(["GET", "POST"])
def extend(request: AccountRequest, machine_id: int) -> HttpResponse:
    """Extend: a later end for the contracts of the machine."""
    found = machine_for(request.user, machine_id)
    now = timezone.now()
    if request.method != "POST":
        return _extend_page(request, found, ExtendForm(initial={"end_at": _suggested_end(found, now)}))
    form = ExtendForm(request.POST)
    if not form.is_valid():
        return _extend_page(request, found, form, status=422)
    end_at = form.cleaned_data["end_at"]
    try:
        extended = lifetimes_extend(machine_id=found.pk, host=request.user, end_at=end_at, now=now)
    except HostingError as refusal:
        if refusal.field not in form.fields:
            raise
        form.add_error(refusal.field, refusal.message)
        return _extend_page(request, found, form, status=422)
    messages.success(request, _extended_message(extended, end_at))
    return machines_changed(request)


def _suggested_end(machine: Machine, now: datetime) -> datetime:
    """A month after the last end there is."""
    listing: Listing | None = getattr(machine, "listing", None)
    ends: list[datetime] = [
        now,
        *hooks.market().contract_ends(machine),
        *([listing.end_at] if listing is not None else []),
    ]
    return min(max(ends) + timedelta(days=30), now + LONGEST - timedelta(days=1))


def _extended_message(extended: int, end_at: datetime) -> str:
    day = f"{end_at - timedelta(microseconds=1):%Y-%m-%d}"
    if not extended:
        return f"No contract ends before {day}; none was changed."
    return f"{extended} contract{'s' if extended > 1 else ''} extended through {day}."


def _extend_page(request: HttpRequest, found: Machine, form: ExtendForm, *, status: int = 200) -> HttpResponse:
    context = {"machine": found, "form": form, "ends": hooks.market().contract_ends(found)}
    return render(request, "hosting/extend.html", context, status=status)


@login_required
@require_POST
def unlist(request: AccountRequest, machine_id: int) -> HttpResponse:
    """Take the machine off the market; what runs on it runs on."""
    listing_end(machine_id=machine_id, host=request.user, now=timezone.now())
    messages.success(request, f"Machine {machine_id} is off the market. Running rentals go on to their end.")
    return machines_changed(request)


def machines_changed(request: HttpRequest) -> HttpResponse:
    """The answer after a change that the Machines page shows."""
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Trigger": '{"dialog-close": {}, "machines-changed": {}}'})
    return redirect("host_machines")


@login_required
@require_GET
def setup(request: AccountRequest) -> HttpResponse:
    """How to join with a machine, and the install tokens."""
    return _setup_page(request, InstallTokenForm())


@login_required
@require_POST
def token_create(request: AccountRequest) -> HttpResponse:
    """Make an install token and show it, this once."""
    form = InstallTokenForm(request.POST)
    if not form.is_valid():
        return _setup_page(request, form, status=422)
    token, raw = install_token_create(host=request.user, now=timezone.now(), name=form.cleaned_data["name"])
    return _setup_page(request, InstallTokenForm(), new_token=token, token=raw, command=install_command(raw))


def _setup_page(request: AccountRequest, form: InstallTokenForm, *, status: int = 200, **extra: Any) -> HttpResponse:
    context = {
        "form": form,
        "tokens": selectors.install_tokens_of(request.user),
        "now": timezone.now(),
        "careful_command": careful_command(),
        "script_digest": install_script().digest,
        "remove_command": f"curl -fsSL {settings.SITE_URL}/install.sh | sudo bash -s -- uninstall",
        **extra,
    }
    return render(request, "hosting/setup.html", context, status=status)


@login_required
@require_POST
def token_revoke(request: AccountRequest, token_id: int) -> HttpResponse:
    """Make an unused install token useless."""
    install_token_revoke(host=request.user, token_id=token_id, now=timezone.now())
    messages.success(request, "The token is revoked.")
    return redirect("host_setup")
