"""What people and tests do with the sandbox beside its API: the provider's dashboard, banks, and accidents.

JSON in and out, no key: the sandbox listens on this machine only.
"""

import time
from typing import Any

from flask import Blueprint, request

from billing.sandbox import webhooks
from billing.sandbox.faults import Faults
from billing.sandbox.store import Object, Store
from billing.sandbox.stripe_api.calls import Call, public
from billing.sandbox.stripe_api.cards import TEST_CARDS
from billing.sandbox.stripe_api.disputes import dispute_close, dispute_open
from billing.sandbox.stripe_api.errors import StripeError, invalid
from billing.sandbox.stripe_api.refunds import refund_fail, refund_make


def blueprint(store: Store, faults: Faults, hooks: dict[str, webhooks.Hook]) -> Blueprint:
    """Everything under ``/_sandbox``."""
    controls = Blueprint("controls", __name__, url_prefix="/_sandbox")
    _add_faults(controls, faults)
    _add_webhooks(controls, store, hooks)
    _add_stripe(controls, store)
    controls.register_error_handler(StripeError, lambda error: (error.body, error.status))
    return controls


def _add_faults(controls: Blueprint, faults: Faults) -> None:
    @controls.post("/faults")
    def fault_add() -> Object:
        """``{"kind", "path", "method", "times"}``: what goes wrong with the next calls; see faults.py."""
        wish = request.get_json()
        try:
            faults.add(wish["kind"], wish.get("path", "/v1/"), wish.get("method", "POST"), wish.get("times", 1))
        except ValueError as error:
            raise invalid(str(error), param="kind") from error
        return {"ok": True}

    @controls.delete("/faults")
    def faults_clear() -> Object:
        """Nothing goes wrong any more; held calls go on."""
        faults.clear()
        return {"ok": True}


def _add_webhooks(controls: Blueprint, store: Store, hooks: dict[str, webhooks.Hook]) -> None:
    @controls.post("/webhooks/plan")
    def webhooks_plan() -> Object:
        """``{"next": ["lose", "double", "hold", "deliver"]}``: the fate of the next events, one each."""
        fates = request.get_json()["next"]
        if not set(fates) <= set(webhooks.FATES):
            raise invalid(f"A fate is one of {', '.join(webhooks.FATES)}.", param="next")
        with store.transaction():
            store.note_set("fates", fates)
        return {"ok": True}

    @controls.post("/webhooks/release")
    def webhooks_release() -> Object:
        """``{"newest_first": true}``: let held events go, in this order."""
        with store.transaction():
            return {"released": webhooks.release(store, newest_first=request.get_json().get("newest_first", False))}

    @controls.post("/webhooks/<name>/url")
    def webhook_url(name: str) -> Object:
        """``{"url": ...}``: where the events of this provider go from now on."""
        known = hooks[name]
        hooks[name] = webhooks.Hook(name, request.get_json()["url"], known.secret, known.sign)
        return {"ok": True}

    @controls.get("/webhooks/<name>")
    def webhooks_list(name: str) -> Object:
        """All deliveries so far, oldest first, with body and headers as they are sent."""
        query = "SELECT event_id, state, attempts FROM deliveries WHERE hook = ? ORDER BY id"
        with store.transaction():
            rows = [
                (store.get(event_id), state, attempts) for event_id, state, attempts in store.execute(query, [name])
            ]
        return {"deliveries": [_delivery(hooks[name], event or {}, *rest) for event, *rest in rows]}


def _delivery(hook: webhooks.Hook, event: Object, state: str, attempts: int) -> Object:
    body = webhooks.body_of(event)
    headers = hook.sign(hook.secret, body, int(time.time()))
    return {"event": event, "state": state, "attempts": attempts, "body": body, "headers": headers}


def _add_stripe(controls: Blueprint, store: Store) -> None:
    def acting(act: Any) -> Object:
        with store.transaction():
            call = Call(store=store, params={}, now=int(time.time()), base_url=request.host_url.rstrip("/"))
            found: Object = public(act(call, request.get_json(silent=True) or {}))
            return found

    @controls.post("/payment_intents/<intent_id>/dispute")
    def dispute(intent_id: str) -> Object:
        """The card's owner disputes: ``{"amount", "reason", "inquiry"}``, all optional."""
        return acting(
            lambda call, wish: dispute_open(
                call,
                charge := _charge_of(call, intent_id),
                wish.get("reason", "fraudulent"),
                wish.get("amount", charge["amount"]),
                inquiry=wish.get("inquiry", False),
            )
        )

    @controls.post("/disputes/<dispute_id>/close")
    def dispute_end(dispute_id: str) -> Object:
        """``{"status": "won"}``, ``lost`` or ``warning_closed``."""
        return acting(lambda call, wish: dispute_close(call, call.find("dispute", dispute_id), wish["status"]))

    @controls.post("/payment_intents/<intent_id>/refund")
    def dashboard_refund(intent_id: str) -> Object:
        """A refund made in the provider's dashboard: ``{"amount"}`` in cents, optional."""
        return acting(lambda call, wish: refund_make(call, _charge_of(call, intent_id), wish.get("amount"), None, {}))

    @controls.post("/refunds/<refund_id>/fail")
    def refund_end(refund_id: str) -> Object:
        """The bank does not take the refund."""
        return acting(lambda call, _: refund_fail(call, call.find("refund", refund_id)))

    @controls.post("/payment_methods/<method_id>/number")
    def method_number(method_id: str) -> Object:
        """``{"number": ...}``: the saved card behaves like this test card from now on."""

        def change(call: Call, wish: Object) -> Object:
            if wish["number"] not in TEST_CARDS:
                raise invalid("No such test card.", param="number")
            return store.put(call.find("payment_method", method_id) | {"_number": wish["number"]})

        return acting(change)


def _charge_of(call: Call, intent_id: str) -> Object:
    intent = call.find("payment_intent", intent_id)
    return call.find("charge", intent["latest_charge"] or "")
