"""The pages of providers where hosts say who they are: Stripe's onboarding and PayPal's sign-in."""

import re
import time
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from billing.sandbox.paypal_api.identity import code_make
from billing.sandbox.store import Object, Store
from billing.sandbox.stripe_api.calls import Call
from billing.sandbox.stripe_api.connect import BANKS, account_complete


def blueprint(store: Store, paypal_client_id: str) -> Blueprint:
    """Both providers' pages."""
    pages = Blueprint("onboarding", __name__)
    _add_stripe(pages, store)
    _add_paypal(pages, store, paypal_client_id)
    return pages


def _add_stripe(pages: Blueprint, store: Store) -> None:
    @pages.get("/setup/e/<link_id>")
    def setup(link_id: str) -> AnyResponse:
        with store.transaction():
            link = store.get(link_id)
            if link is None:
                return _html("over.html", 404, session=None)
            if link["_used"] or link["expires_at"] < time.time():
                return redirect(link["_refresh_url"], code=303)
            return _html("onboarding.html", 200, banks=BANKS, error="")

    @pages.post("/setup/e/<link_id>")
    def setup_done(link_id: str) -> AnyResponse:
        with store.transaction():
            link = store.get(link_id)
            if link is None:
                return _html("over.html", 404, session=None)
            if request.form.get("act") == "later":
                return redirect(link["_return_url"], code=303)
            number = re.sub(r"[\s-]", "", request.form.get("account_number", ""))
            if number not in BANKS:
                error = "This page is in test mode: only the account numbers below work here, never a real one."
                return _html("onboarding.html", 422, banks=BANKS, error=error)
            call = Call(store=store, params={}, now=int(time.time()), base_url=request.host_url.rstrip("/"))
            account_complete(call, call.find("account", link["_account"]), number)
            store.put(link | {"_used": True})
            return redirect(link["_return_url"], code=303)


def _add_paypal(pages: Blueprint, store: Store, client_id: str) -> None:
    @pages.get("/signin/authorize")
    def sign_in() -> AnyResponse:
        problem = _unfit(dict(request.args), client_id)
        return _html("paypal.html", 400 if problem else 200, problem=problem, error="")

    @pages.post("/signin/authorize")
    def signed_in() -> AnyResponse:
        wish = dict(request.args)
        problem = _unfit(wish, client_id)
        if problem:
            return _html("paypal.html", 400, problem=problem, error="")
        if request.form.get("act") == "cancel":
            return _back(wish, {"error": "access_denied"})
        email = request.form.get("email", "").strip().lower()
        if not re.fullmatch(r"[^@\s]{1,60}@[^@\s]{1,60}", email):
            return _html("paypal.html", 422, problem="", error="Type in any address; it stands for a PayPal account.")
        with store.transaction():
            code = code_make(store, email, verified="unverified" not in email)
        return _back(wish, {"code": code})


def _unfit(wish: Object, client_id: str) -> str:
    """What is wrong with the request to sign in; empty when nothing is."""
    if wish.get("client_id") != client_id:
        return "No such client_id."
    if wish.get("response_type") != "code" or "openid" not in wish.get("scope", "").split():
        return "The response type must be code, and the scope must have openid."
    if urlsplit(wish.get("redirect_uri", "")).scheme not in ("http", "https"):
        return "The redirect_uri is no URL."
    return ""


def _back(wish: Object, answer: Object) -> AnyResponse:
    return redirect(f"{wish['redirect_uri']}?{urlencode({**answer, 'state': wish.get('state', '')})}", code=303)


def _html(template: str, status: int, **context: object) -> Response:
    return Response(render_template(template, **context), status, mimetype="text/html")
