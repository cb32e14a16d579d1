"""Charges and what moves on the balance with them. They are made by payment intents."""

from stripe.params import BalanceTransactionRetrieveParams, ChargeRetrieveParams

from billing.sandbox.store import Object
from billing.sandbox.stripe_api.calls import Call, new_id, route
from billing.sandbox.stripe_api.cards import MESSAGES

FEE_FIXED_CENTS = 30
FEE_BPS = 290
DISPUTE_FEE_CENTS = 1500


@route("GET", "/v1/charges/<charge_id>", ChargeRetrieveParams)
def charge_retrieve(call: Call, charge_id: str) -> Object:
    return call.find("charge", charge_id)


@route("GET", "/v1/balance_transactions/<transaction_id>", BalanceTransactionRetrieveParams)
def balance_transaction_retrieve(call: Call, transaction_id: str) -> Object:
    return call.find("balance_transaction", transaction_id)


def card_fee_cents(amount: int) -> int:
    """2.9 % and 30 cents."""
    return -(-amount * FEE_BPS // 10_000) + FEE_FIXED_CENTS


def transaction_make(call: Call, kind: str, source: str, amount: int, fee: int = 0) -> Object:
    """A movement on the balance in cents, of which the fee is kept."""
    details = [{"amount": fee, "application": None, "currency": "usd", "description": "Fee", "type": "stripe_fee"}]
    return call.store.put(
        {
            "id": new_id("txn"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": call.now,
            "balance_type": "payments",
            "created": call.now,
            "currency": "usd",
            "description": None,
            "exchange_rate": None,
            "fee": fee,
            "fee_details": details if fee else [],
            "net": amount - fee,
            "reporting_category": kind,
            "source": source,
            "status": "available",
            "type": kind,
        }
    )


def charge_make(call: Call, intent: Object, method: Object, decline_code: str) -> Object:
    """A charge of the intent's amount, declined unless the code is empty."""
    charge_id, failed = new_id("ch"), bool(decline_code)
    movement = None
    if not failed:
        movement = transaction_make(call, "charge", charge_id, intent["amount"], card_fee_cents(intent["amount"]))
    charge: Object = {
        "id": charge_id,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0 if failed else intent["amount"],
        "amount_refunded": 0,
        "balance_transaction": None if movement is None else movement["id"],
        "captured": not failed,
        "created": call.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_code": "card_declined" if failed else None,
        "failure_message": MESSAGES.get(decline_code) if failed else None,
        "livemode": False,
        "metadata": intent["metadata"],
        "outcome": {"network_status": "declined_by_network" if failed else "approved_by_network"},
        "paid": not failed,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {"card": method["card"], "type": "card"},
        "receipt_email": None,
        "receipt_url": None,
        "refunded": False,
        "status": "failed" if failed else "succeeded",
    }
    call.emit("charge.failed" if failed else "charge.succeeded", call.store.put(charge))
    return charge
