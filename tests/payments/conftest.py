"""A provider for each test, and the site's settings that lead to it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import time_machine
from pytest_django import Settings

from marketplace.models import User
from tests.payments.till import Till
from tests.plumbing.provider import Provider, providing


@pytest.fixture
def provider(tmp_path: Path, settings: Settings) -> Iterator[Provider]:
    with providing(tmp_path) as running:
        settings.STRIPE_SECRET_KEY = "sk_test_sandbox"
        settings.STRIPE_WEBHOOK_SECRET = "whsec_sandbox"
        settings.STRIPE_API_BASE = running.url
        yield running


@pytest.fixture
def clock(db: None) -> Iterator[time_machine.Traveller]:  # noqa: ARG001 - the database is set up before time stops
    with time_machine.travel(datetime(2026, 3, 6, 12, 0, tzinfo=UTC), tick=False) as traveller:
        yield traveller


@pytest.fixture
def till(provider: Provider, clock: time_machine.Traveller) -> Till:
    return Till(User.objects.create(email="client@example.com"), provider, clock)


@pytest.fixture
def staff() -> User:
    return User.objects.create(email="staff@example.com", is_staff=True, is_superuser=True)
