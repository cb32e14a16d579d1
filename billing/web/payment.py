"""Paying in: credit, cards, auto-billing, and what became of payments."""

import contextlib
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from billing import selectors, services
from billing.domain.errors import BillingError, InvalidAmountError, NoCardError
from billing.domain.money import MICROS_PER_DOLLAR
from billing.domain.payment_states import IN_FLIGHT
from billing.models import Payment
from billing.web.forms import AutoBillingForm, BuyForm
from billing.web.requests import AccountRequest

PRESETS_DOLLARS = (10, 25, 50, 100, 250)


@login_required
@require_GET
def payment(request: AccountRequest) -> HttpResponse:
    """Everything about paying in on one page."""
    return _page(request)


@login_required
@require_GET
def rows(request: AccountRequest) -> HttpResponse:
    """The list of payments, for polling while one is on its way."""
    return render(request, "billing/_payments.html", _payments_context(request))


@login_required
@require_POST
def buy(request: AccountRequest) -> HttpResponse:
    """Begin a payment and go to the provider's page where it is made."""
    form = BuyForm(request.POST)
    if not form.is_valid():
        return _page(request, buy_form=form, status=422)
    try:
        begun = services.purchase_begin(
            user=request.user,
            amount_micros=form.cleaned_data["amount"],
            key=form.cleaned_data["key"],
            back_url=_back_url(request),
            now=timezone.now(),
        )
    except InvalidAmountError as refusal:
        form.add_error("amount", refusal.message)
        return _page(request, buy_form=form, status=422)
    return _to_page(begun)


@login_required
@require_POST
def confirm(request: AccountRequest, payment_id: int) -> HttpResponse:
    """Pay in person what the bank did not let us charge."""
    begun = services.confirmation_begin(
        user=request.user, payment_id=payment_id, back_url=_back_url(request), now=timezone.now()
    )
    return _to_page(begun)


@login_required
@require_GET
def returned(request: AccountRequest) -> HttpResponse:
    """Back from the provider's page. What happened there is asked, not believed; a webhook would tell it too."""
    now = timezone.now()
    with contextlib.suppress(BillingError):  # then the webhook or the reconciliation tells
        begun = _payment_of(request)
        if begun is not None:
            services.payment_sync(payment_id=begun.pk, reason="returned", now=now)
        if request.GET.get("card"):
            services.cards_sync(owner_id=request.user.pk, now=now)
            messages.success(request, "Your card is saved.")
    return redirect("billing_payment")


@login_required
@require_POST
def card_add(request: AccountRequest) -> HttpResponse:
    """Go to the provider's page where a card is saved."""
    url = services.card_page(user=request.user, back_url=_back_url(request), now=timezone.now())
    return redirect(url)


@login_required
@require_POST
def card_remove(request: AccountRequest, card_id: int) -> HttpResponse:
    """Have the provider forget a card."""
    services.card_remove(user=request.user, card_id=card_id, now=timezone.now())
    messages.success(request, "The card is removed.")
    return redirect("billing_payment")


@login_required
@require_POST
def card_default(request: AccountRequest, card_id: int) -> HttpResponse:
    """Have auto-billing charge this card."""
    services.card_make_default(user=request.user, card_id=card_id)
    messages.success(request, "Auto-billing charges this card from now on.")
    return redirect("billing_payment")


@login_required
@require_POST
def auto_billing(request: AccountRequest) -> HttpResponse:
    """Turn auto-billing on or off, and say when and how much."""
    form = AutoBillingForm(request.POST)
    if not form.is_valid():
        return _page(request, auto_form=form, status=422)
    wish = form.cleaned_data
    try:
        services.auto_billing_set(
            user=request.user,
            enabled=wish["enabled"],
            threshold_micros=wish["threshold"],
            mode=wish["mode"],
            amount_micros=wish["amount"],
            now=timezone.now(),
        )
    except (InvalidAmountError, NoCardError) as refusal:
        form.add_error("enabled" if isinstance(refusal, NoCardError) else "amount", refusal.message)
        return _page(request, auto_form=form, status=422)
    messages.success(request, f"Auto-billing is {'on' if wish['enabled'] else 'off'}.")
    return redirect("billing_payment")


def _page(request: AccountRequest, *, status: int = 200, **forms: Form) -> HttpResponse:
    terms = selectors.auto_billing_of(request.user)
    context = {
        "buy_form": BuyForm(initial={"amount": 25 * MICROS_PER_DOLLAR}),
        "auto_form": AutoBillingForm.of(terms),
        **forms,
        "auto_billing": terms,
        "cards": selectors.cards_of(request.user),
        "presets": PRESETS_DOLLARS,
        "least_micros": settings.PAYMENT_LEAST_MICROS,
        "most_micros": settings.PAYMENT_MOST_MICROS,
        "test_mode": settings.PAYMENTS_TEST_MODE,
        "takes_cards": bool(settings.STRIPE_SECRET_KEY),
        **_payments_context(request),
    }
    return render(request, "billing/payment.html", context, status=status)


def _payments_context(request: AccountRequest) -> dict[str, Any]:
    payments = selectors.payments_of(request.user)
    return {"payments": payments, "is_waiting": any(row.state in IN_FLIGHT for row in payments)}


def _payment_of(request: AccountRequest) -> Payment | None:
    try:
        return selectors.payment_by_key(request.user, UUID(request.GET.get("paid", "")))
    except ValueError:
        return None


def _to_page(begun: Payment) -> HttpResponse:
    """To the provider's page; to ours when the payment's page is no more, because it was paid already."""
    return redirect(begun.page_url or "billing_payment")


def _back_url(request: AccountRequest) -> str:
    return request.build_absolute_uri(reverse("billing_payment_returned"))
