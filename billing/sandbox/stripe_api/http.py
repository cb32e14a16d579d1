"""The HTTP side of the API: keys, parameters, idempotency, answers."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from flask import Blueprint, Request, Response, request

from billing.sandbox.faults import Fault, Faults
from billing.sandbox.store import Store
from billing.sandbox.stripe_api.calls import ROUTES, Call, Route, expanded, new_id, public
from billing.sandbox.stripe_api.errors import StripeError, invalid
from billing.sandbox.stripe_api.forms import decode
from billing.sandbox.stripe_api.validation import validated

ANSWER_IS_LOST = "sandbox.answer_is_lost"
"""In the WSGI environment: end the connection instead of answering."""


@dataclass
class StripeApi:
    """All that the routes share. ``secret_key`` is the only key that opens the API."""

    store: Store
    secret_key: str
    faults: Faults
    _busy: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def blueprint(self) -> Blueprint:
        """Every route, as Flask wants them."""
        found = Blueprint("stripe", __name__)
        for number, one in enumerate(ROUTES):
            found.add_url_rule(one.path, f"{one.handler.__name__}_{number}", self._view(one), methods=[one.method])
        found.add_url_rule("/v1/<path:_rest>", "unknown", _unknown, methods=["GET", "POST", "DELETE"])
        return found

    def _view(self, one: Route):  # type: ignore[no-untyped-def]  # a view of Flask's
        def view(**path: str) -> Response:
            fault = self.faults.take(request.method, request.path)
            if fault is not None and fault.kind == "refuse":
                request.environ[ANSWER_IS_LOST] = True
            elif fault is not None and fault.kind == "error":
                return _refusal(StripeError(500, "api_error", "Something went wrong on the sandbox's end."))
            else:
                answer = self._answered(one, path, fault)
                if fault is not None and fault.kind == "lose_answer":
                    request.environ[ANSWER_IS_LOST] = True
                return answer
            return _json(500, "{}")

        return view

    def _answered(self, one: Route, path: dict[str, str], fault: Fault | None) -> Response:
        try:
            self._check_key(request)
            params = _params(request)
            key = request.headers.get("Idempotency-Key", "") if request.method == "POST" else ""
            with self._alone(key):
                if fault is not None and fault.kind == "hold":
                    self.faults.hold(fault)
                with self.store.transaction():
                    return self._once(one, path, params, key)
        except StripeError as error:
            return _refusal(error)

    def _check_key(self, asked: Request) -> None:
        given = asked.headers.get("Authorization", "").removeprefix("Bearer ")
        if given != self.secret_key:
            raise StripeError(401, "invalid_request_error", f"Invalid API Key provided: {given[:8]}***")

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """One request for each idempotency key at a time. Raises StripeError 409."""
        with self._lock:
            if key and key in self._busy:
                message = "There is currently another in-progress request using this Idempotency Key."
                raise StripeError(409, "idempotency_error", message, code="idempotency_key_in_use")
            self._busy.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(key)

    def _once(self, one: Route, path: dict[str, str], params: dict[str, object], key: str) -> Response:
        """The answer; the earlier one when the key was used before. Raises StripeError."""
        if not key:
            return _json(*self._performed(one, path, params))
        fingerprint = _fingerprint(params)
        earlier = self.store.answer_of(key)
        if earlier is not None:
            if earlier[0] != fingerprint:
                message = (
                    "Keys for idempotent requests can only be used with the same parameters they were first used with."
                )
                raise StripeError(400, "idempotency_error", message)
            return _json(*earlier[1:], replayed=True)
        status, body = self._performed(one, path, params)
        self.store.answer_keep(key, fingerprint, status, body)
        return _json(status, body)

    def _performed(self, one: Route, path: dict[str, str], params: dict[str, object]) -> tuple[int, str]:
        """Status and body; refusals of cards are answers too. Raises StripeError for requests that were never begun."""
        call = Call(
            store=self.store,
            params=validated(params, one.shape) if one.shape is not None else _no_params(params),
            now=int(time.time()),
            base_url=request.host_url.rstrip("/"),
            account=request.headers.get("Stripe-Account"),
            request_id=new_id("req"),
        )
        try:
            found = one.handler(call, **path)
        except StripeError as error:
            if not error.kept:
                raise
            return error.status, json.dumps(public(error.body))
        return 200, json.dumps(public(expanded(self.store, found, call.params.get("expand", []))))


def _params(asked: Request) -> dict[str, object]:
    """From the query and, for what changes something, the body."""
    text = asked.query_string.decode() if asked.method == "GET" else asked.get_data(as_text=True)
    return decode(parse_qsl(text, keep_blank_values=True))


def _no_params(params: dict[str, object]) -> dict[str, object]:
    for name in params:
        raise invalid(f"Received unknown parameter: {name}", param=name, code="parameter_unknown")
    return {}


def _fingerprint(params: dict[str, object]) -> str:
    said = json.dumps([request.method, request.path, request.headers.get("Stripe-Account"), params], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _unknown(_rest: str) -> Response:
    return _refusal(invalid(f"Unrecognized request URL ({request.method}: {request.path}).", status=404))


def _refusal(error: StripeError) -> Response:
    return _json(error.status, json.dumps(public(error.body)))


def _json(status: int, body: str, *, replayed: bool = False) -> Response:
    headers = {"Request-Id": new_id("req")}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(body, status, headers, mimetype="application/json")
