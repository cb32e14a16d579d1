"""Refunds of card payments."""

from stripe.params import RefundCreateParams, RefundListParams, RefundRetrieveParams

from billing.sandbox.store import Object
from billing.sandbox.stripe_api.calls import Call, new_id, page, route
from billing.sandbox.stripe_api.charges import transaction_make
from billing.sandbox.stripe_api.errors import invalid


@route("POST", "/v1/refunds", RefundCreateParams)
def refund_create(call: Call) -> Object:
    params = call.params
    if "payment_intent" in params:
        intent = call.find("payment_intent", params["payment_intent"], "payment_intent")
        if intent["latest_charge"] is None:
            raise invalid("This PaymentIntent does not have a successful charge to refund.", param="payment_intent")
        charge = call.find("charge", intent["latest_charge"])
    elif "charge" in params:
        charge = call.find("charge", params["charge"], "charge")
    else:
        raise invalid("One of the following params should be provided for this request: payment_intent or charge.")
    return refund_make(call, charge, params.get("amount"), params.get("reason"), params.get("metadata", {}))


@route("GET", "/v1/refunds", RefundListParams)
def refund_list(call: Call) -> Object:
    wanted = {name: call.params[name] for name in ("charge", "payment_intent") if name in call.params}
    found = [row for row in call.store.newest("refund") if all(row[name] == value for name, value in wanted.items())]
    return page(call, found, "/v1/refunds")


@route("GET", "/v1/refunds/<refund_id>", RefundRetrieveParams)
def refund_retrieve(call: Call, refund_id: str) -> Object:
    return call.find("refund", refund_id)


def refund_make(call: Call, charge: Object, amount: int | None, reason: str | None, metadata: dict[str, str]) -> Object:
    """Give ``amount`` cents back, all that is left when None. Raises StripeError."""
    left = charge["amount_captured"] - charge["amount_refunded"]
    if charge["disputed"]:
        raise invalid("This charge is disputed and can't be refunded.", code="charge_disputed")
    if not left:
        raise invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    cents = left if amount is None else amount
    if not 0 < cents <= left:
        raise invalid(f"Refund amount ({cents}) is greater than unrefunded amount on charge ({left})", param="amount")
    refund_id = new_id("re")
    movement = transaction_make(call, "refund", refund_id, -cents)
    refund: Object = {
        "id": refund_id,
        "object": "refund",
        "amount": cents,
        "balance_transaction": movement["id"],
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "metadata": metadata,
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "status": "succeeded",
    }
    charge["amount_refunded"] += cents
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    call.store.put(refund)
    call.emit("refund.created", refund)
    call.emit("charge.refunded", call.store.put(charge))
    return refund


def refund_fail(call: Call, refund: Object) -> Object:
    """The bank did not take it: the money is back on the balance."""
    if refund["status"] != "succeeded":
        raise invalid("Only a refund that succeeded can fail later.")
    charge = call.find("charge", refund["charge"])
    movement = transaction_make(call, "refund_failure", refund["id"], refund["amount"])
    refund |= {"status": "failed", "failure_reason": "lost_or_stolen_card"}
    refund["failure_balance_transaction"] = movement["id"]
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    call.store.put(charge)
    call.emit("refund.failed", call.store.put(refund))
    return refund
