"""The sandbox as a real local server, and the real Stripe SDK that talks to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from stripe import RequestsClient, StripeClient

from billing.sandbox.app import Config, Sandbox
from billing.sandbox.serving import serving

TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class Provider:
    """A running sandbox: its address, its inside, and a client of its API."""

    url: str
    sandbox: Sandbox
    stripe: StripeClient

    def control(self, path: str, /, **wish: Any) -> Any:
        """Do something that is no part of the provider's API."""
        answer = requests.post(f"{self.url}/_sandbox{path}", json=wish, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        return answer.json()

    def deliveries(self) -> list[dict[str, Any]]:
        """What was, or would be, sent to the webhook of Stripe, oldest first."""
        found: list[dict[str, Any]] = requests.get(
            f"{self.url}/_sandbox/webhooks/stripe", timeout=TIMEOUT_SECONDS
        ).json()["deliveries"]
        return found

    def type_card(self, page: str, number: str, **form: str) -> requests.Response:
        """Fill in a hosted page, as a browser sends it; redirects are not followed."""
        values = {"number": number, "expiry": "12 / 40", "cvc": "123", **form}
        return requests.post(page, values, allow_redirects=False, timeout=TIMEOUT_SECONDS)


def client_of(url: str, key: str = Config.stripe_secret_key) -> StripeClient:
    """The SDK as the site uses it, but without its own retries."""
    http = RequestsClient(timeout=TIMEOUT_SECONDS)
    return StripeClient(key, base_addresses={"api": url}, http_client=http, max_network_retries=0)


@contextmanager
def providing(directory: Path) -> Iterator[Provider]:
    """A provider with its state in ``directory``, for as long as the block lasts."""
    with serving(directory / "sandbox.sqlite") as (url, sandbox):
        yield Provider(url, sandbox, client_of(url))
