"""What people and tests do with payouts beside the APIs: banks and recipients that take or return the money."""

import time
from typing import Any

from flask import Blueprint, request

from billing.sandbox.paypal_api import payouts
from billing.sandbox.paypal_api.errors import PayPalError
from billing.sandbox.store import Object, Store
from billing.sandbox.stripe_api.calls import Call, public
from billing.sandbox.stripe_api.connect import account_restrict, payout_end, transfer_reverse
from billing.sandbox.stripe_api.errors import StripeError


def blueprint(store: Store) -> Blueprint:
    """More of what is under ``/_sandbox``."""
    controls = Blueprint("payout_controls", __name__, url_prefix="/_sandbox")
    _add_stripe(controls, store)
    _add_paypal(controls, store)
    controls.register_error_handler(StripeError, lambda error: (error.body, error.status))
    controls.register_error_handler(PayPalError, lambda error: (error.body, error.status))
    return controls


def _add_stripe(controls: Blueprint, store: Store) -> None:
    def call() -> Call:
        return Call(store=store, params={}, now=int(time.time()), base_url=request.host_url.rstrip("/"))

    @controls.post("/stripe/platform")
    def platform() -> Object:
        """``{"cents": 5000, "banks_are_quick": false}``: what is left to transfer (null: no end), and whether payouts
        end at once."""
        wish = request.get_json()
        with store.transaction():
            if "cents" in wish:
                store.note_set("platform_cents", wish["cents"])
            if "banks_are_quick" in wish:
                store.note_set("banks_are_quick", wish["banks_are_quick"])
        return {"ok": True}

    @controls.post("/payouts/<payout_id>/end")
    def payout(payout_id: str) -> Object:
        """``{"failure_code": ""}``: the bank has it; or sends it back for this reason."""
        with store.transaction():
            wish, found = request.get_json(), call().find("payout", payout_id)
            return shown(payout_end(call(), found, wish.get("failure_code", "")))

    @controls.post("/transfers/<transfer_id>/reverse")
    def reverse(transfer_id: str) -> Object:
        """Someone reverses a transfer in the provider's dashboard."""
        with store.transaction():
            return shown(transfer_reverse(call(), transfer_id))

    @controls.post("/accounts/<account_id>/restrict")
    def restrict(account_id: str) -> Object:
        """``{"reason": "requirements.past_due"}``: nothing more is paid out to the account."""
        with store.transaction():
            return shown(account_restrict(call(), call().find("account", account_id), request.get_json()["reason"]))


def _add_paypal(controls: Blueprint, store: Store) -> None:
    @controls.post("/paypal/plan")
    def plan() -> Object:
        """``{"next": ["FAILED", "UNCLAIMED"]}``: what the next items come to; ``{"dollars": "5.00"}``: the balance."""
        wish: dict[str, Any] = request.get_json()
        with store.transaction():
            if "next" in wish:
                store.note_set("paypal_fates", wish["next"])
            if "dollars" in wish:
                store.note_set("paypal_dollars", wish["dollars"])
        return {"ok": True}

    @controls.post("/paypal/items/<item_id>/end")
    def item(item_id: str) -> Object:
        """``{"status": "RETURNED"}``: what the item comes to now."""
        with store.transaction():
            return payouts.item_end(store, item_id, request.get_json()["status"], int(time.time()))


def shown(found: Object) -> Object:
    """Without what only the sandbox knows."""
    visible: Object = public(found)
    return visible
