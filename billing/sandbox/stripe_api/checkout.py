"""Checkout sessions: the provider's own page takes the card, so that the site never sees its number."""

from stripe.params.checkout import (
    SessionCreateParams,
    SessionExpireParams,
    SessionListParams,
    SessionRetrieveParams,
)

from billing.sandbox.store import Object
from billing.sandbox.stripe_api.calls import Call, new_id, page, route
from billing.sandbox.stripe_api.cards import MESSAGES, TEST_CARDS, needs_authentication
from billing.sandbox.stripe_api.customers import payment_method_attach, payment_method_make
from billing.sandbox.stripe_api.errors import card_error, invalid
from billing.sandbox.stripe_api.intents import intent_make, intent_pay

LIFETIME_SECONDS = 24 * 3600
SESSION_ID_MARK = "{CHECKOUT_SESSION_ID}"


class AuthenticationNeededError(Exception):
    """The bank wants its customer to confirm first."""


@route("POST", "/v1/checkout/sessions", SessionCreateParams)
def session_create(call: Call) -> Object:
    params = call.params
    mode = params.get("mode")
    if mode not in ("payment", "setup"):
        raise invalid("Only the modes payment and setup are known here.", param="mode")
    if "success_url" not in params:
        raise invalid("Missing required param: success_url.", param="success_url", code="parameter_missing")
    if "customer" in params:
        call.find("customer", params["customer"], "customer")
    session_id = new_id("cs_test")
    session: Object = {
        "id": session_id,
        "object": "checkout.session",
        "amount_subtotal": None,
        "amount_total": _total(call) if mode == "payment" else None,
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "created": call.now,
        "currency": "usd",
        "customer": params.get("customer"),
        "expires_at": params.get("expires_at", call.now + LIFETIME_SECONDS),
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "mode": mode,
        "payment_intent": None,
        "payment_method_types": ["card"],
        "payment_status": "unpaid" if mode == "payment" else "no_payment_required",
        "setup_intent": None,
        "status": "open",
        "success_url": params["success_url"],
        "ui_mode": "hosted",
        "url": f"{call.base_url}/c/pay/{session_id}",
        "_name": _name(call),
        "_intent_data": params.get("payment_intent_data", {}),
        "_setup_data": params.get("setup_intent_data", {}),
    }
    return call.store.put(session)


@route("GET", "/v1/checkout/sessions", SessionListParams)
def session_list(call: Call) -> Object:
    names = ("customer", "payment_intent", "status")
    wanted = {name: call.params[name] for name in names if name in call.params}
    found = (session_now(call, row) for row in call.store.newest("checkout.session"))
    return page(call, [row for row in found if all(row[n] == v for n, v in wanted.items())], "/v1/checkout/sessions")


@route("GET", "/v1/checkout/sessions/<session_id>", SessionRetrieveParams)
def session_retrieve(call: Call, session_id: str) -> Object:
    return session_now(call, call.find("checkout.session", session_id))


@route("POST", "/v1/checkout/sessions/<session_id>/expire", SessionExpireParams)
def session_expire(call: Call, session_id: str) -> Object:
    session = session_now(call, call.find("checkout.session", session_id))
    if session["status"] != "open":
        raise invalid(f'Only Checkout Sessions with a status in ["open"] can be expired, not {session["status"]}.')
    return _expire(call, session)


def session_now(call: Call, session: Object) -> Object:
    """The session, expired when its time is over."""
    is_late = session["status"] == "open" and session["expires_at"] <= call.now
    return _expire(call, session) if is_late else session


def session_complete(call: Call, session: Object, number: str, expiry: tuple[int, int], *, confirmed: bool) -> Object:
    """Pay, or save, with the card that was typed in. ``confirmed``: its bank has asked its owner.

    Raises AuthenticationNeededError, and StripeError 402 when the card is declined.
    """
    kind = TEST_CARDS[number]
    if not confirmed and needs_authentication(kind, off_session=False, prepared=False):
        raise AuthenticationNeededError
    method = payment_method_make(call, number, *expiry)
    if session["mode"] == "payment":
        _pay(call, session, method)
    else:
        _save_card(call, session, method, confirmed=confirmed)
    session |= {"status": "complete", "url": None}
    call.emit("checkout.session.completed", call.store.put(session))
    return session


def landing_url(session: Object) -> str:
    """Where the browser goes after it has succeeded."""
    url: str = session["success_url"]
    return url.replace(SESSION_ID_MARK, session["id"])


def _pay(call: Call, session: Object, method: Object) -> None:
    data = session["_intent_data"]
    intent = call.store.get(session["payment_intent"] or "")
    if intent is None:
        intent = intent_make(call, session["amount_total"], "usd", {**data, "customer": session["customer"]})
        session["payment_intent"] = intent["id"]
        call.store.put(session)
    intent_pay(call, intent, method)
    if data.get("setup_future_usage") == "off_session" and session["customer"]:
        payment_method_attach(call, method, session["customer"], prepared=True)
    session["payment_status"] = "paid"


def _save_card(call: Call, session: Object, method: Object, *, confirmed: bool) -> None:
    kind = TEST_CARDS[method["_number"]]
    if kind.attach_declined:
        raise card_error("card_declined", kind.attach_declined, MESSAGES[kind.attach_declined])
    intent: Object = {
        "id": new_id("seti"),
        "object": "setup_intent",
        "created": call.now,
        "customer": session["customer"],
        "livemode": False,
        "metadata": session["_setup_data"].get("metadata", {}),
        "payment_method": method["id"],
        "payment_method_types": ["card"],
        "status": "succeeded",
        "usage": "off_session",
    }
    session["setup_intent"] = call.store.put(intent)["id"]
    if session["customer"]:
        payment_method_attach(call, method, session["customer"], prepared=confirmed)
    call.emit("setup_intent.succeeded", intent)


def _expire(call: Call, session: Object) -> Object:
    session |= {"status": "expired", "url": None}
    call.emit("checkout.session.expired", call.store.put(session))
    return session


def _total(call: Call) -> int:
    items = call.params.get("line_items", [])
    if not items:
        raise invalid("You must provide `line_items` in payment mode.", param="line_items")
    prices = [item.get("price_data", {}) for item in items]
    if any("unit_amount" not in price or price.get("currency") != "usd" for price in prices):
        raise invalid("Every line needs price_data with unit_amount in usd.", param="line_items")
    return sum(
        int(price["unit_amount"]) * int(item.get("quantity", 1)) for price, item in zip(prices, items, strict=True)
    )


def _name(call: Call) -> str:
    for item in call.params.get("line_items", []):
        return str(item.get("price_data", {}).get("product_data", {}).get("name", ""))
    return ""
