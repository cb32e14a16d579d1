"""Where hosts' money goes: chosen by the host, set up on the provider's pages, kept as the provider describes it."""

from datetime import datetime, timedelta

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from billing import hooks
from billing.domain.errors import PayoutMethodError
from billing.domain.notices import PAYOUT_METHOD
from billing.domain.payouts import Destination, Provider, provider_for
from billing.gateways import carriers
from billing.gateways.carrier import BusyError, RefusedError, UnknownOutcomeError
from billing.models import PayoutMethod, PayoutMethodState

REFRESH_EVERY = timedelta(days=1)
REFRESH_AGAIN_AFTER = timedelta(minutes=15)
REFRESHED_PER_RUN = 100


@transaction.atomic
def method_choose(*, host: AbstractBaseUser, country: str, now: datetime) -> PayoutMethod:
    """The host's method for a bank account in ``country`` (ISO 3166-1): what it had, if that is carried the same way.

    Otherwise a new one takes its place, to be set up; payouts made before go where they were to go. Raises
    PayoutMethodError where the installation has no keys for that provider.
    """
    provider = provider_for(country)
    if not carriers.is_available(provider):
        raise PayoutMethodError("This marketplace cannot pay to this country yet.")
    method, is_new = PayoutMethod.objects.get_or_create(
        host_id=host.pk, defaults={"provider": provider, "country": country, "changed_at": now}
    )
    is_other = (method.provider, method.country) != (provider, country)
    if is_other:
        _replace(method, provider, country, now)
    if is_new or is_other:
        _audit(method, f"{provider} in {country}, to be set up", now, actor_id=host.pk)
    return method


def _audit(method: PayoutMethod, message: str, now: datetime, actor_id: int | None = None) -> None:
    hooks.money().audited(
        action="payout_method.changed", actor_id=actor_id, owner_id=method.host_id, message=message, now=now
    )


def onboarding_url(*, method: PayoutMethod, refresh_url: str, return_url: str) -> str:
    """Stripe's page for this host, whose account is made if there is none. Calls Stripe: not in a transaction.

    Raises PayoutMethodError.
    """
    try:
        stripe = carriers.stripe_connect()
        if not method.account_id:
            email = str(getattr(method.host, "email", ""))
            key = f"payout-method-{method.pk}-{method.setup}"
            account_id = stripe.account_open(key=key, host_id=method.host_id, email=email)
            PayoutMethod.objects.filter(pk=method.pk, setup=method.setup).update(account_id=account_id)
            method.account_id = account_id
        return stripe.onboarding_url(method.account_id, refresh_url=refresh_url, return_url=return_url)
    except (BusyError, UnknownOutcomeError) as error:
        raise PayoutMethodError(f"Stripe could not set this up now; try again in a moment. ({error})") from error


def paypal_sign_in_url(*, state: str, return_url: str) -> str:
    """PayPal's page where a host shows which account is its own. Raises PayoutMethodError without keys."""
    try:
        return carriers.paypal().sign_in_url(redirect_url=return_url, state=state)
    except BusyError as error:
        raise PayoutMethodError("This marketplace cannot pay by PayPal yet.") from error


def paypal_identity(*, code: str) -> Destination:
    """Whose account at PayPal the code was given for. Calls PayPal: not in a transaction. Raises PayoutMethodError."""
    try:
        return carriers.paypal().identity(code)
    except RefusedError as error:
        raise PayoutMethodError("PayPal does not know this sign-in any more; start it again.") from error
    except (BusyError, UnknownOutcomeError) as error:
        raise PayoutMethodError("PayPal cannot be reached now; try again in a moment.") from error


def method_refresh(*, method_id: int, now: datetime) -> None:
    """Asks the provider about the account, and keeps what it says. Calls it: not in a transaction."""
    method = PayoutMethod.objects.filter(pk=method_id).exclude(account_id="").first()
    if method is None or method.provider != Provider.STRIPE:
        PayoutMethod.objects.filter(pk=method_id).update(refresh_at=None)
        return
    try:
        destination = carriers.carrier(method.provider).destination(method.account_id)
    except (BusyError, UnknownOutcomeError):
        PayoutMethod.objects.filter(pk=method_id).update(refresh_at=now + REFRESH_AGAIN_AFTER)
        return
    _keep(method, destination, now)


def methods_refresh(*, now: datetime) -> int:
    """``method_refresh`` of those that are due; returns how many."""
    due = PayoutMethod.objects.filter(refresh_at__lte=now).order_by("refresh_at")
    ids = list(due.values_list("pk", flat=True)[:REFRESHED_PER_RUN])
    for pk in ids:
        method_refresh(method_id=pk, now=now)
    return len(ids)


def method_link(*, method: PayoutMethod, destination: Destination, now: datetime) -> None:
    """The host has shown that this account at PayPal is its own."""
    PayoutMethod.objects.filter(pk=method.pk, setup=method.setup).update(account_id=destination.account_id)
    method.refresh_from_db()
    _keep(method, destination, now)


def _replace(method: PayoutMethod, provider: Provider, country: str, now: datetime) -> None:
    method.provider, method.country = provider, country
    method.account_id = method.label = method.problem = ""
    method.state = PayoutMethodState.PENDING
    method.setup += 1
    method.changed_at, method.refresh_at = now, None
    method.save()


@transaction.atomic
def _keep(method: PayoutMethod, destination: Destination, now: datetime) -> None:
    """Writes down what the provider says, unless the host has chosen anew meanwhile; tells the host what changed."""
    state = _state(method, destination)
    rows = PayoutMethod.objects.filter(pk=method.pk, setup=method.setup, account_id=destination.account_id)
    known = rows.update(
        label=destination.label[:200],
        problem=destination.problem[:300],
        refresh_at=now + REFRESH_EVERY if method.provider == Provider.STRIPE else None,
    )
    if known and rows.exclude(state=state).update(state=state, changed_at=now):
        _audit(method, f"{destination.label or destination.account_id}: {state}", now)
        _tell(method, state, destination, now)


def _state(method: PayoutMethod, destination: Destination) -> PayoutMethodState:
    if destination.ready:
        return PayoutMethodState.READY
    was_used = method.state != PayoutMethodState.PENDING
    return PayoutMethodState.RESTRICTED if was_used or destination.problem else PayoutMethodState.PENDING


def _tell(method: PayoutMethod, state: PayoutMethodState, destination: Destination, now: datetime) -> None:
    if state == PayoutMethodState.READY:
        subject = "Payouts are set up"
        text = f"Your earnings go to {destination.label or destination.account_id} from now on."
    else:
        subject = "Your payout account needs you"
        text = f"Nothing can be paid out to it now. What we were told: {destination.problem or 'more is asked of you.'}"
    hooks.money().tell(
        owner_id=method.host_id,
        kind=PAYOUT_METHOD,
        key=f"payout-method:{method.pk}:{now.isoformat()}",
        subject=subject,
        text=text,
        now=now,
    )
