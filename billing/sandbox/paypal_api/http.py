"""The HTTP side of the API: credentials, JSON, accidents."""

import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, jsonify, request

from billing.sandbox.faults import Faults
from billing.sandbox.paypal_api import identity, payouts, signatures
from billing.sandbox.paypal_api.errors import PayPalError, unfit
from billing.sandbox.store import Object, Store
from billing.sandbox.stripe_api.http import ANSWER_IS_LOST


@dataclass(frozen=True)
class PayPalApi:
    """All that the routes share: one app's credentials, and the secret behind signatures."""

    store: Store
    client_id: str
    client_secret: str
    signing_secret: str
    faults: Faults

    def blueprint(self) -> Blueprint:
        """Every route, as Flask wants them."""
        found = Blueprint("paypal", __name__)
        routes: list[tuple[str, str, Callable[..., tuple[int, Object]]]] = [
            ("POST", "/v1/oauth2/token", self._token),
            ("GET", "/v1/identity/oauth2/userinfo", self._person),
            ("POST", "/v1/payments/payouts", self._batch_create),
            ("GET", "/v1/payments/payouts/<batch_id>", self._batch_show),
            ("GET", "/v1/payments/payouts-item/<item_id>", self._item_show),
            ("POST", "/v1/notifications/verify-webhook-signature", self._verify),
        ]
        for method, path, handler in routes:
            found.add_url_rule(path, handler.__name__, self._view(handler), methods=[method])
        return found

    def _view(self, handler: Callable[..., tuple[int, Object]]) -> Callable[..., Response]:
        def view(**path: str) -> Response:
            fault = self.faults.take(request.method, request.path)
            if fault is not None and fault.kind == "refuse":
                request.environ[ANSWER_IS_LOST] = True
                return _json(503, {})
            if fault is not None and fault.kind == "error":
                return _json(500, {"name": "INTERNAL_SERVER_ERROR", "message": "An internal server error occurred."})
            if fault is not None and fault.kind == "hold":
                self.faults.hold(fault)
            if fault is not None and fault.kind == "lose_answer":
                request.environ[ANSWER_IS_LOST] = True
            return self._answered(handler, path)

        return view

    def _answered(self, handler: Callable[..., tuple[int, Object]], path: dict[str, str]) -> Response:
        try:
            with self.store.transaction():
                return _json(*handler(**path))
        except PayPalError as error:
            return _json(error.status, error.body)

    def _token(self) -> tuple[int, Object]:
        given = request.headers.get("Authorization", "").removeprefix("Basic ")
        if given != b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode():
            raise identity.oauth_error(401, "invalid_client", "Client Authentication failed")
        return 200, identity.token_make(self.store, dict(request.form), int(time.time()))

    def _person(self) -> tuple[int, Object]:
        token = self._check_token()
        if request.args.get("schema") != "paypalv1.1":
            raise unfit("schema", "Must be paypalv1.1")
        return 200, identity.person_of(token)

    def _batch_create(self) -> tuple[int, Object]:
        self._check_token()
        base_url = request.host_url.rstrip("/")
        return 201, payouts.batch_create(self.store, _body(), int(time.time()), base_url)

    def _batch_show(self, batch_id: str) -> tuple[int, Object]:
        self._check_token()
        return 200, payouts.batch_show(self.store, batch_id)

    def _item_show(self, item_id: str) -> tuple[int, Object]:
        self._check_token()
        return 200, payouts.item_show(self.store, item_id)

    def _verify(self) -> tuple[int, Object]:
        self._check_token()
        _body()
        good = signatures.verified(self.signing_secret, request.get_data(as_text=True))
        return 200, {"verification_status": "SUCCESS" if good else "FAILURE"}

    def _check_token(self) -> Object:
        token = self.store.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if token is None or token["object"] != "paypal_token" or token["until"] < time.time():
            raise identity.oauth_error(401, "invalid_token", "Token signature verification failed")
        return token


def _body() -> Any:
    if request.mimetype != "application/json":
        raise PayPalError(
            415, "UNSUPPORTED_MEDIA_TYPE", "The server does not support the request payload's media type."
        )
    body = request.get_json(silent=True)
    if body is None:
        raise PayPalError(400, "MALFORMED_REQUEST", "The request JSON is not well formed.")
    return body


def _json(status: int, body: Object) -> Response:
    answer = jsonify(body)
    answer.status_code = status
    return answer
