"""The carriers that this installation has keys for."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache

from django.conf import settings

from billing.domain.errors import ForgedEventError, PaymentsUnavailableError
from billing.domain.payouts import Provider
from billing.gateways.carrier import BusyError, Carrier, UnknownOutcomeError
from billing.gateways.paypal import PayPal
from billing.gateways.stripe import EventFact
from billing.gateways.stripe_connect import StripeConnect

PAYPAL_EVENTS = "paypal"
"""Whose events PayPal's are."""


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


def paypal_event(body: bytes, headers: Mapping[str, str]) -> EventFact:
    """The event in a webhook's body. Calls PayPal: not in a transaction.

    Raises ForgedEventError unless PayPal says that it sent it, PaymentsUnavailableError when it does not say.
    """
    try:
        event = paypal().webhook_event(body, headers, settings.PAYPAL_WEBHOOK_ID)
        created_at = datetime.fromisoformat(event["create_time"])
        return EventFact(str(event["id"]), str(event["event_type"]), created_at, event)
    except (KeyError, TypeError, ValueError) as error:
        raise ForgedEventError("This is no event of PayPal's.") from error
    except (BusyError, UnknownOutcomeError) as error:
        raise PaymentsUnavailableError("PayPal does not say whether it sent this.") from error
