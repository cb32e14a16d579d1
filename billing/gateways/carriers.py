"""The carriers that this installation has keys for."""

from functools import cache

from django.conf import settings

from billing.domain.payouts import Provider
from billing.gateways.carrier import BusyError, Carrier
from billing.gateways.paypal import PayPal
from billing.gateways.stripe_connect import StripeConnect


def carrier(provider: str) -> Carrier:
    """The carrier by its name. Raises BusyError without keys for it."""
    return paypal() if provider == Provider.PAYPAL else stripe_connect()


def is_available(provider: str) -> bool:
    """Whether there are keys for it."""
    return bool(settings.PAYPAL_CLIENT_ID if provider == Provider.PAYPAL else settings.STRIPE_SECRET_KEY)


def stripe_connect() -> StripeConnect:
    """Raises BusyError without a key."""
    if not settings.STRIPE_SECRET_KEY:
        raise BusyError("There is no key for Stripe.")
    return StripeConnect(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)


def paypal() -> PayPal:
    """One for each set of keys, so that its token is asked for once an hour. Raises BusyError without keys."""
    if not settings.PAYPAL_CLIENT_ID:
        raise BusyError("There are no keys for PayPal.")
    return _paypal(
        settings.PAYPAL_CLIENT_ID, settings.PAYPAL_CLIENT_SECRET, settings.PAYPAL_API_BASE, settings.PAYPAL_WEB_BASE
    )


@cache
def _paypal(client_id: str, client_secret: str, api_base: str, web_base: str) -> PayPal:
    return PayPal(client_id, client_secret, api_base, web_base)
