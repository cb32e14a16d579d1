"""Hosts that have earned, and both providers as a real local server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from billing.sandbox.app import Config
from billing.sandbox.serving import serving
from tests.billing.conftest import client_user, host_user, make_user, now, staff
from tests.payouts.providers import Providers

__all__ = ["client_user", "host_user", "make_user", "now", "providers", "staff"]


@pytest.fixture
def providers(tmp_path: Path, settings: Settings) -> Iterator[Providers]:
    """The sandbox, and a site that has keys for it."""
    keys = Config()
    with serving(tmp_path / "sandbox.sqlite", keys) as (url, sandbox):
        settings.STRIPE_SECRET_KEY = keys.stripe_secret_key
        settings.STRIPE_WEBHOOK_SECRET = keys.stripe_webhook_secret
        settings.STRIPE_CONNECT_WEBHOOK_SECRET = keys.stripe_connect_webhook_secret
        settings.STRIPE_API_BASE = settings.PAYPAL_API_BASE = settings.PAYPAL_WEB_BASE = url
        settings.PAYPAL_CLIENT_ID = keys.paypal_client_id
        settings.PAYPAL_CLIENT_SECRET = keys.paypal_client_secret
        settings.PAYPAL_WEBHOOK_ID = keys.paypal_webhook_id
        yield Providers(url, sandbox)
