"""All modules with routes of Stripe's API; importing them fills the table in ``stripe_api.calls``."""

from billing.sandbox.stripe_api import (
    charges,
    checkout,
    connect,
    customers,
    disputes,
    events,
    intents,
    refunds,
    setup_intents,
)
from billing.sandbox.stripe_api.calls import ROUTES

MODULES = (charges, checkout, connect, customers, disputes, events, intents, refunds, setup_intents)


def load() -> int:
    """How many routes there are."""
    return len(ROUTES)
