"""Disputes: the bank takes the money back until it is decided whose it is."""

from stripe.params import DisputeListParams, DisputeRetrieveParams

from billing.sandbox.store import Object
from billing.sandbox.stripe_api.calls import Call, new_id, page, route
from billing.sandbox.stripe_api.charges import DISPUTE_FEE_CENTS, transaction_make
from billing.sandbox.stripe_api.errors import invalid


@route("GET", "/v1/disputes", DisputeListParams)
def dispute_list(call: Call) -> Object:
    wanted = {name: call.params[name] for name in ("charge", "payment_intent") if name in call.params}
    found = [row for row in call.store.newest("dispute") if all(row[name] == value for name, value in wanted.items())]
    return page(call, found, "/v1/disputes")


@route("GET", "/v1/disputes/<dispute_id>", DisputeRetrieveParams)
def dispute_retrieve(call: Call, dispute_id: str) -> Object:
    return call.find("dispute", dispute_id)


def dispute_open(call: Call, charge: Object, reason: str, amount: int, *, inquiry: bool = False) -> Object:
    """The card's owner disputes ``amount`` cents of the charge. An inquiry only asks: no money is withdrawn."""
    if charge["status"] != "succeeded" or charge["disputed"]:
        raise invalid("This charge cannot be disputed.")
    dispute_id = new_id("dp")
    movements = []
    if not inquiry:
        movements = [transaction_make(call, "adjustment", dispute_id, -amount, DISPUTE_FEE_CENTS)]
    dispute: Object = {
        "id": dispute_id,
        "object": "dispute",
        "amount": amount,
        "balance_transactions": movements,
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "evidence": {},
        "evidence_details": {"due_by": call.now + 7 * 86_400, "has_evidence": False, "submission_count": 0},
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
    charge["disputed"] = True
    call.store.put(charge)
    call.emit("charge.dispute.created", call.store.put(dispute))
    if not inquiry:
        call.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def dispute_close(call: Call, dispute: Object, status: str) -> Object:
    """Decide it: ``won`` gives the money back, ``lost`` does not, ``warning_closed`` ends an inquiry."""
    allowed = ("warning_closed",) if dispute["status"].startswith("warning") else ("won", "lost")
    if dispute["status"] in ("won", "lost", "warning_closed") or status not in allowed:
        raise invalid(f"A dispute that is {dispute['status']} cannot become {status}.", param="status")
    dispute["status"] = status
    if status == "won":
        dispute["balance_transactions"].append(transaction_make(call, "adjustment", dispute["id"], dispute["amount"]))
    call.emit("charge.dispute.closed", call.store.put(dispute))
    if status == "won":
        call.emit("charge.dispute.funds_reinstated", dispute)
    return dispute
