"""Where a host's money goes: method, payouts, invoices, and the ways to the providers' pages and back."""

import secrets

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRedirect

from billing import selectors, services
from billing.domain.countries import COUNTRIES
from billing.domain.errors import PayoutMethodError
from billing.domain.payouts import Provider
from billing.models import PayoutMethod
from billing.web.requests import AccountRequest

ROWS_SHOWN = 60
STATE_KEY = "paypal_state"


class CountryForm(forms.Form):
    """Where the host is paid."""

    country = forms.ChoiceField(label="Where you are paid", choices=list(COUNTRIES.items()))


@login_required
@require_GET
def payouts(request: AccountRequest) -> HttpResponse:
    """What is due, where it goes, what was paid, and what was earned in which week."""
    return _page(request)


@login_required
@require_POST
def method(request: AccountRequest) -> HttpResponseBase:
    """Choose where to be paid; goes on to the provider's own pages."""
    form = CountryForm(request.POST)
    if not form.is_valid():
        return _page(request, form, 422)
    chosen = services.method_choose(host=request.user, country=form.cleaned_data["country"], now=timezone.now())
    url = _provider_page(request, chosen)
    return HttpResponseClientRedirect(url) if request.headers.get("HX-Request") else redirect(url)


@login_required
@require_GET
def stripe_again(request: AccountRequest) -> HttpResponse:
    """Stripe's page was open for too long, or opened twice: another one."""
    known = selectors.payout_method_of(request.user)
    if known is None or known.provider != Provider.STRIPE:
        return redirect("host_payouts")
    return redirect(_provider_page(request, known))


@login_required
@require_GET
def stripe_return(request: AccountRequest) -> HttpResponse:
    """Back from Stripe: whether all is set up, Stripe says when asked."""
    known = selectors.payout_method_of(request.user)
    if known is not None:
        services.method_refresh(method_id=known.pk, now=timezone.now())
    return redirect("host_payouts")


@login_required
@require_GET
def paypal_return(request: AccountRequest) -> HttpResponse:
    """Back from PayPal, with a code that says whose account it is. Only who was sent there by us may bring one."""
    expected = request.session.pop(STATE_KEY, "")
    known, code = selectors.payout_method_of(request.user), request.GET.get("code", "")
    if not expected or not constant_time_compare(expected, request.GET.get("state", "")):
        raise PayoutMethodError("This sign-in was not begun here, or was finished already; start it again.")
    if known is None or known.provider != Provider.PAYPAL or not code:
        messages.info(request, "Nothing was changed.")
        return redirect("host_payouts")
    destination = services.paypal_identity(code=code)
    services.method_link(method=known, destination=destination, now=timezone.now())
    return redirect("host_payouts")


def _provider_page(request: AccountRequest, known: PayoutMethod) -> str:
    if known.provider == Provider.STRIPE:
        return services.onboarding_url(
            method=known, refresh_url=_absolute("host_payout_stripe"), return_url=_absolute("host_payout_stripe_return")
        )
    state = request.session[STATE_KEY] = secrets.token_urlsafe(24)
    return services.paypal_sign_in_url(state=state, return_url=_absolute("host_payout_paypal_return"))


def _is_test_mode(known: PayoutMethod | None) -> bool:
    """Whether no money would move, by the provider that the host has or most would get."""
    by_paypal = known is not None and known.provider == Provider.PAYPAL
    return bool(settings.PAYPAL_TEST_MODE if by_paypal else settings.PAYMENTS_TEST_MODE)


def _absolute(name: str) -> str:
    return f"{settings.SITE_URL}{reverse(name)}"


def _page(request: AccountRequest, form: CountryForm | None = None, status: int = 200) -> HttpResponse:
    known = selectors.payout_method_of(request.user)
    context = {
        "method": known,
        "form": form or CountryForm(initial={"country": known.country if known else "US"}),
        "outlook": selectors.payout_outlook(request.user, timezone.now()),
        "holds": selectors.holds_of(request.user)[:ROWS_SHOWN],
        "payouts": selectors.payouts_of(request.user)[:ROWS_SHOWN],
        "invoices": selectors.invoices_of(request.user)[:ROWS_SHOWN],
        "minimum_micros": settings.PAYOUT_MINIMUM_MICROS,
        "test_mode": _is_test_mode(known),
    }
    return render(request, "billing/payouts.html", context, status=status)
