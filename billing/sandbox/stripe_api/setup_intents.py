"""Setup intents: the bank's consent to charge a card later. Checkout makes them."""

from stripe.params import SetupIntentListParams, SetupIntentRetrieveParams

from billing.sandbox.store import Object
from billing.sandbox.stripe_api.calls import Call, page, route


@route("GET", "/v1/setup_intents", SetupIntentListParams)
def setup_intent_list(call: Call) -> Object:
    wanted = {name: call.params[name] for name in ("customer", "payment_method") if name in call.params}
    found = call.store.newest("setup_intent")
    return page(call, [row for row in found if all(row[n] == v for n, v in wanted.items())], "/v1/setup_intents")


@route("GET", "/v1/setup_intents/<intent_id>", SetupIntentRetrieveParams)
def setup_intent_retrieve(call: Call, intent_id: str) -> Object:
    return call.find("setup_intent", intent_id)
