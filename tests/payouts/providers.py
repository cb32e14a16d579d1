"""Both providers on this machine: their pages, as a host fills them in, and what goes wrong on order."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from billing import services
from billing.gateways import carriers
from billing.models import PayoutMethod
from billing.sandbox.app import Sandbox
from marketplace.models import User
from tests.billing.weeks import FRIDAY

TIMEOUT_SECONDS = 20
RETURN_URL = "https://spotyard.example/host/payouts/"
GOOD_BANK = "000123456789"
CLOSED_BANK = "000111111113"


@dataclass(frozen=True)
class Providers:
    """A running sandbox."""

    url: str
    sandbox: Sandbox

    def control(self, path: str, /, **wish: Any) -> Any:
        """Do something that is no part of a provider's API."""
        answer = requests.post(f"{self.url}/_sandbox{path}", json=wish, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        return answer.json()

    def go_wrong(self, kind: str, path: str, method: str = "POST", times: int = 1) -> None:
        """What happens to the next calls."""
        self.control("/faults", kind=kind, path=path, method=method, times=times)

    def deliveries(self, hook: str) -> list[dict[str, Any]]:
        """What was, or would be, sent to a webhook, oldest first."""
        answer = requests.get(f"{self.url}/_sandbox/webhooks/{hook}", timeout=TIMEOUT_SECONDS)
        found: list[dict[str, Any]] = answer.json()["deliveries"]
        return found

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """What the provider has of a kind, newest first."""
        with self.sandbox.store.transaction():
            return self.sandbox.store.newest(kind)

    def bank(self, host: User, number: str = GOOD_BANK) -> PayoutMethod:
        """The host sets up a bank account on Stripe's pages."""
        method = services.method_choose(host=host, country="US", now=FRIDAY)
        page = services.onboarding_url(method=method, refresh_url=RETURN_URL, return_url=RETURN_URL)
        assert self.submit(page, account_number=number, act="complete") == RETURN_URL
        services.method_refresh(method_id=method.pk, now=FRIDAY)
        method.refresh_from_db()
        return method

    def paypal(self, host: User, email: str = "hugo@example.com") -> PayoutMethod:
        """The host signs in to PayPal."""
        method = services.method_choose(host=host, country="DE", now=FRIDAY)
        page = carriers.paypal().sign_in_url(redirect_url=RETURN_URL, state="s")
        back = parse_qs(urlsplit(self.submit(page, email=email, act="agree")).query)
        assert back["state"] == ["s"]
        services.method_link(method=method, destination=carriers.paypal().identity(back["code"][0]), now=FRIDAY)
        method.refresh_from_db()
        return method

    @staticmethod
    def get(page: str) -> str:
        """Where the browser is sent to when it opens a page."""
        answer = requests.get(page, allow_redirects=False, timeout=TIMEOUT_SECONDS)
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    @staticmethod
    def submit(page: str, **form: str) -> str:
        """Where the browser is sent to from a page."""
        answer = requests.post(page, form, allow_redirects=False, timeout=TIMEOUT_SECONDS)
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]
