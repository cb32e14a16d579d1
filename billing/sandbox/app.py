"""The sandbox as one Flask application."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask, Response

from billing.sandbox import controls, onboarding, pages, payout_controls, stripe_routes, webhooks
from billing.sandbox.faults import Faults
from billing.sandbox.paypal_api.http import PayPalApi
from billing.sandbox.paypal_api.signatures import signer
from billing.sandbox.store import Store
from billing.sandbox.stripe_api.http import ANSWER_IS_LOST, StripeApi

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


@dataclass(frozen=True)
class Config:
    """Keys and addresses. An empty webhook URL keeps that provider's events undelivered."""

    stripe_secret_key: str = "sk_test_sandbox"  # noqa: S105 - opens nothing but the sandbox
    stripe_webhook_secret: str = "whsec_sandbox"  # noqa: S105 - likewise
    stripe_webhook_url: str = ""
    stripe_connect_webhook_secret: str = "whsec_sandbox_connect"  # noqa: S105 - likewise
    stripe_connect_webhook_url: str = ""
    paypal_client_id: str = "paypal-sandbox"
    paypal_client_secret: str = "paypal-sandbox-secret"  # noqa: S105 - likewise
    paypal_webhook_id: str = "WH-SANDBOX"
    paypal_webhook_url: str = ""


@dataclass
class Sandbox:
    """The application and what lives beside it. ``start`` begins to deliver webhooks; ``close`` ends everything."""

    state: Path | str
    config: Config = field(default_factory=Config)

    def __post_init__(self) -> None:
        self.store = Store(self.state)
        self.faults = Faults()
        self.hooks = _hooks(self.config)
        self.courier = webhooks.Courier(self.store, self.hooks)
        self.wsgi = _losing_answers(self._make_app())

    def start(self) -> None:
        """Deliver what was left undelivered, and what comes."""
        self.courier.start()

    def close(self) -> None:
        """End the deliveries and let go of the state's file."""
        self.faults.clear()
        self.courier.stop()
        self.store.close()

    def _make_app(self) -> Flask:
        app = Flask(__name__)
        stripe_routes.load()
        app.register_blueprint(StripeApi(self.store, self.config.stripe_secret_key, self.faults).blueprint())
        app.register_blueprint(pages.blueprint(self.store))
        app.register_blueprint(controls.blueprint(self.store, self.faults, self.hooks))
        app.register_blueprint(self._paypal().blueprint())
        app.register_blueprint(onboarding.blueprint(self.store, self.config.paypal_client_id))
        app.register_blueprint(payout_controls.blueprint(self.store))
        app.add_url_rule("/_sandbox/health", "health", lambda: {"ok": True})
        app.after_request(self._after)
        return app

    def _paypal(self) -> PayPalApi:
        keys = self.config
        secret = keys.paypal_client_secret
        return PayPalApi(self.store, keys.paypal_client_id, secret, secret, self.faults)

    def _after(self, response: Response) -> Response:
        self.courier.nudge()
        return response


def _hooks(config: Config) -> dict[str, webhooks.Hook]:
    """Where each kind of event goes: payments to one webhook, the accounts of hosts to another, PayPal's to a third."""
    paypal_sign = signer(config.paypal_webhook_id)
    sign = webhooks.stripe_signature
    hooks = [
        webhooks.Hook("stripe", config.stripe_webhook_url, config.stripe_webhook_secret, sign),
        webhooks.Hook("stripe-connect", config.stripe_connect_webhook_url, config.stripe_connect_webhook_secret, sign),
        webhooks.Hook("paypal", config.paypal_webhook_url, config.paypal_client_secret, paypal_sign),
    ]
    return {hook.name: hook for hook in hooks}


def _losing_answers(inner: Wsgi) -> Wsgi:
    """Ends the connection where a fault asked for it, once everything has been done."""

    def outer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        said: list[Any] = []
        parts = inner(environ, lambda *args, **kwargs: said.append((args, kwargs)))
        if environ.get(ANSWER_IS_LOST):
            raise ConnectionAbortedError("the answer is lost on purpose")
        (args, kwargs), *_ = said
        start_response(*args, **kwargs)
        return parts

    return outer
