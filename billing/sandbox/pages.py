"""The pages that a provider hosts: where people type in their card."""

import re
import time
from datetime import UTC, datetime

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from billing.sandbox.store import Object, Store
from billing.sandbox.stripe_api.calls import Call
from billing.sandbox.stripe_api.cards import TEST_CARDS
from billing.sandbox.stripe_api.checkout import (
    AuthenticationNeededError,
    landing_url,
    session_complete,
    session_now,
)
from billing.sandbox.stripe_api.errors import StripeError

_EXPIRY = re.compile(r"(?P<month>0[1-9]|1[0-2])\s*/\s*(?P<year>[0-9]{2})")
_HINTS = [
    ("4242 4242 4242 4242", "is taken"),
    ("4000 0000 0000 0002", "is declined"),
    ("4000 0025 0000 3155", "asks its owner once, with 3-D Secure"),
    ("4000 0027 6000 3184", "asks its owner every time"),
    ("4000 0000 0000 0341", "can be saved, then is declined"),
]


class CardFieldError(ValueError):
    """What was typed in is no test card; says why."""


def blueprint(store: Store) -> Blueprint:
    """The pages of Stripe Checkout."""
    pages = Blueprint("pages", __name__)

    def show(session_id: str) -> AnyResponse:
        with store.transaction():
            session = _session(store, session_id)
        return _page(session)

    def pay(session_id: str) -> AnyResponse:
        with store.transaction():
            session = _session(store, session_id)
            if session is None or session["status"] != "open":
                return _page(session)
            return _paid(_call(store), session)

    pages.add_url_rule("/c/pay/<session_id>", "show", show, methods=["GET"])
    pages.add_url_rule("/c/pay/<session_id>", "pay", pay, methods=["POST"])
    return pages


def _paid(call: Call, session: Object) -> AnyResponse:
    """The page again when something is missing, else the way back to the site."""
    answer = request.form.get("bank", "")
    if answer == "refuse":
        return _page(session, "Your bank did not confirm that it is you. Try again or use another card.", 402)
    try:
        number, expiry = _card(request.form.get("number", ""), request.form.get("expiry", ""))
        session_complete(call, session, number, expiry, confirmed=answer == "confirm")
    except CardFieldError as error:
        return _page(session, str(error), 422)
    except AuthenticationNeededError:
        return _html(render_template("bank.html", session=session, form=request.form), 200)
    except StripeError as error:
        return _page(session, error.body["error"]["message"], error.status)
    return redirect(landing_url(session), code=303)


def _card(number: str, expiry: str) -> tuple[str, tuple[int, int]]:
    digits = re.sub(r"[\s-]", "", number)
    if digits not in TEST_CARDS:
        raise CardFieldError("This page is in test mode: only the test cards below work here, never a real one.")
    match = _EXPIRY.fullmatch(expiry.strip())
    if match is None:
        raise CardFieldError("The expiry date is the month and the year, like 12 / 34.")
    month, year = int(match["month"]), 2000 + int(match["year"])
    today = datetime.fromtimestamp(time.time(), UTC)
    if (year, month) < (today.year, today.month):
        raise CardFieldError("The card has expired.")
    return digits, (month, year)


def _session(store: Store, session_id: str) -> Object | None:
    found = store.get(session_id)
    return None if found is None else session_now(_call(store), found)


def _call(store: Store) -> Call:
    return Call(store=store, params={}, now=int(time.time()), base_url=request.host_url.rstrip("/"))


def _page(session: Object | None, error: str = "", status: int = 200) -> AnyResponse:
    if session is None:
        return _html(render_template("over.html", session=None), 404)
    if session["status"] != "open":
        return _html(render_template("over.html", session=session), 200)
    return _html(render_template("pay.html", session=session, error=error, hints=_HINTS, form=request.form), status)


def _html(text: str, status: int) -> Response:
    return Response(text, status, mimetype="text/html")
