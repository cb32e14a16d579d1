"""An instance whose client is told what happens to it."""

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from marketplace.models import Instance
from marketplace.services.webhooks import webhook_set
from tests.marketplace.telling import rented
from tests.plumbing.market import T0
from tests.plumbing.receiver import Receiver, receiving


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    """A server on this machine that hears webhooks, which is allowed for once."""
    settings.WEBHOOK_ALLOW_PRIVATE = True
    with receiving() as running:
        yield running


@pytest.fixture
def instance() -> Instance:
    """A loading instance."""
    return rented()


@pytest.fixture
def secret(instance: Instance, receiver: Receiver) -> str:
    """Of the webhook that tells the receiver about the instance."""
    return webhook_set(user=instance.client, url=receiver.url, now=T0)
