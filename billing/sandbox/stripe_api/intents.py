"""Payment intents: an amount that is to be paid, and the attempts at it."""

from typing import Any

from stripe.params import (
    PaymentIntentCancelParams,
    PaymentIntentConfirmParams,
    PaymentIntentCreateParams,
    PaymentIntentListParams,
    PaymentIntentRetrieveParams,
)

from billing.sandbox.store import Object
from billing.sandbox.stripe_api.calls import Call, new_id, page, route
from billing.sandbox.stripe_api.cards import MESSAGES, TEST_CARDS, needs_authentication
from billing.sandbox.stripe_api.charges import charge_make
from billing.sandbox.stripe_api.disputes import dispute_open
from billing.sandbox.stripe_api.errors import StripeError, card_error, invalid

SMALLEST_CENTS = 50
LARGEST_CENTS = 99_999_999
CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")


@route("POST", "/v1/payment_intents", PaymentIntentCreateParams)
def payment_intent_create(call: Call) -> Object:
    params = call.params
    if params.get("off_session") and not params.get("confirm"):
        raise invalid("The parameter `off_session` cannot be passed when `confirm` is not true.", param="off_session")
    if "customer" in params:
        call.find("customer", params["customer"], "customer")
    intent = intent_make(call, params["amount"], params["currency"], params)
    return _attempt(call, intent) if params.get("confirm") else intent


@route("GET", "/v1/payment_intents", PaymentIntentListParams)
def payment_intent_list(call: Call) -> Object:
    wanted = call.params.get("customer")
    found = [row for row in call.store.newest("payment_intent") if wanted in (None, row["customer"])]
    return page(call, found, "/v1/payment_intents")


@route("GET", "/v1/payment_intents/<intent_id>", PaymentIntentRetrieveParams)
def payment_intent_retrieve(call: Call, intent_id: str) -> Object:
    return call.find("payment_intent", intent_id)


@route("POST", "/v1/payment_intents/<intent_id>/confirm", PaymentIntentConfirmParams)
def payment_intent_confirm(call: Call, intent_id: str) -> Object:
    intent = call.find("payment_intent", intent_id)
    if intent["status"] not in CONFIRMABLE:
        raise unexpected_state(intent, "confirm")
    intent["payment_method"] = call.params.get("payment_method", intent["payment_method"])
    return _attempt(call, intent)


@route("POST", "/v1/payment_intents/<intent_id>/cancel", PaymentIntentCancelParams)
def payment_intent_cancel(call: Call, intent_id: str) -> Object:
    intent = call.find("payment_intent", intent_id)
    if intent["status"] not in CONFIRMABLE:
        raise unexpected_state(intent, "cancel")
    reason = call.params.get("cancellation_reason")
    intent |= {"status": "canceled", "canceled_at": call.now, "cancellation_reason": reason}
    call.emit("payment_intent.canceled", call.store.put(intent))
    return intent


def intent_make(call: Call, amount: int, currency: str, params: dict[str, Any]) -> Object:
    """A new intent to pay ``amount`` cents; ``params`` are those of the intent. Raises StripeError."""
    if currency != "usd":
        raise invalid(f"Invalid currency: {currency}", param="currency")
    if not SMALLEST_CENTS <= amount <= LARGEST_CENTS:
        code = "amount_too_small" if amount < SMALLEST_CENTS else "amount_too_large"
        raise invalid("Amount must be between $0.50 and $999,999.99 usd", param="amount", code=code)
    intent: Object = {
        "id": new_id("pi"),
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": 0,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "confirmation_method": "automatic",
        "created": call.now,
        "currency": currency,
        "customer": params.get("customer"),
        "description": params.get("description"),
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "next_action": None,
        "payment_method": params.get("payment_method"),
        "payment_method_types": ["card"],
        "receipt_email": None,
        "setup_future_usage": params.get("setup_future_usage"),
        "status": "requires_confirmation" if params.get("payment_method") else "requires_payment_method",
    }
    call.emit("payment_intent.created", call.store.put(intent))
    return intent


def _attempt(call: Call, intent: Object) -> Object:
    """Confirm with the intent's card. Raises StripeError 402 when it is refused."""
    if intent["payment_method"] is None:
        message = "You cannot confirm this PaymentIntent because it's missing a payment method."
        raise invalid(message, code="payment_intent_unexpected_state")
    method = call.find("payment_method", intent["payment_method"], "payment_method")
    if method["customer"] is not None and method["customer"] != intent["customer"]:
        raise invalid("The payment method belongs to another customer.", param="payment_method")
    if method["customer"] is None:
        message = "The provided PaymentMethod was previously used or detached and may not be used again."
        raise invalid(message, param="payment_method")
    off_session = bool(call.params.get("off_session"))
    kind = TEST_CARDS[method["_number"]]
    if needs_authentication(kind, off_session=off_session, prepared=method["_prepared"]):
        return _unauthenticated(call, intent, off_session=off_session)
    return intent_pay(call, intent, method)


def _unauthenticated(call: Call, intent: Object, *, off_session: bool) -> Object:
    if not off_session:
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
        intent |= {"status": "requires_action", "next_action": action}
        call.emit("payment_intent.requires_action", call.store.put(intent))
        return intent
    message = "Your card was declined. This transaction requires authentication."
    refusal = {"type": "card_error", "code": "authentication_required", "message": message}
    intent_fail(call, intent, refusal)
    raise card_error("authentication_required", "authentication_required", message, payment_intent=intent)


def intent_pay(call: Call, intent: Object, method: Object) -> Object:
    """Charge the card, whose owner is not asked any more. Raises StripeError 402 when it is declined."""
    kind = TEST_CARDS[method["_number"]]
    charge = charge_make(call, intent, method, kind.charge_declined)
    intent |= {"latest_charge": charge["id"], "payment_method": method["id"]}
    if kind.charge_declined:
        message = MESSAGES[kind.charge_declined]
        refusal = {"type": "card_error", "code": "card_declined", "decline_code": kind.charge_declined}
        intent_fail(call, intent, {**refusal, "message": message, "charge": charge["id"]})
        raise card_error("card_declined", kind.charge_declined, message, charge=charge["id"], payment_intent=intent)
    intent |= {"status": "succeeded", "amount_received": intent["amount"], "next_action": None}
    intent["last_payment_error"] = None
    call.emit("payment_intent.succeeded", call.store.put(intent))
    if kind.disputed:
        dispute_open(call, charge, kind.disputed, charge["amount"])
    return intent


def intent_fail(call: Call, intent: Object, refusal: dict[str, Any]) -> None:
    """The attempt came to nothing; another card may be tried."""
    intent |= {"status": "requires_payment_method", "last_payment_error": refusal, "payment_method": None}
    intent["next_action"] = None
    call.emit("payment_intent.payment_failed", call.store.put(intent))


def unexpected_state(intent: Object, wish: str) -> StripeError:
    """The intent is past that."""
    message = f"You cannot {wish} this PaymentIntent because it has a status of {intent['status']}."
    return invalid(message, code="payment_intent_unexpected_state")
