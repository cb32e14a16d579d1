"""The record of what happened, for those who missed a webhook."""

from stripe.params import EventListParams, EventRetrieveParams

from billing.sandbox.store import Object
from billing.sandbox.stripe_api.calls import Call, page, route


@route("GET", "/v1/events", EventListParams)
def event_list(call: Call) -> Object:
    found = call.store.newest("event")
    if "type" in call.params:
        found = [row for row in found if row["type"] == call.params["type"]]
    if "types" in call.params:
        found = [row for row in found if row["type"] in call.params["types"]]
    return page(call, [row for row in found if row.get("account") == call.account], "/v1/events")


@route("GET", "/v1/events/<event_id>", EventRetrieveParams)
def event_retrieve(call: Call, event_id: str) -> Object:
    return call.find("event", event_id)
