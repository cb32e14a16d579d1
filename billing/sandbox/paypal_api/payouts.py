"""Batches of payouts and what becomes of their items."""

import secrets
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing.sandbox import webhooks
from billing.sandbox.paypal_api.checks import check_batch
from billing.sandbox.paypal_api.errors import PayPalError, unknown
from billing.sandbox.store import Object, Store

REMEMBERED_SECONDS = 30 * 24 * 3600
FEE_SHARE = Decimal("0.02")
FEE_MOST = Decimal("20.00")
STATUSES = {
    "SUCCESS": "SUCCEEDED",
    "FAILED": "FAILED",
    "PENDING": "",
    "UNCLAIMED": "UNCLAIMED",
    "RETURNED": "RETURNED",
    "ONHOLD": "HELD",
    "BLOCKED": "BLOCKED",
    "REFUNDED": "REFUNDED",
}
"""What an item can come to, and the event that tells it."""
_ERRORS = {
    "FAILED": ("RECEIVER_ACCOUNT_LOCKED", "The recipient's account is locked."),
    "RETURNED": ("RECEIVER_UNREGISTERED", "The recipient did not claim this payout within 30 days."),
    "BLOCKED": ("TRANSACTION_BLOCKED", "The transaction was blocked."),
    "UNCLAIMED": ("RECEIVER_UNREGISTERED", "Receiver is unregistered."),
}


def batch_create(store: Store, body: Any, now: int, base_url: str) -> Object:
    """The answer to ``POST /v1/payments/payouts``; the money moves right after it. Raises PayPalError."""
    check_batch(body)
    header = body["sender_batch_header"]
    _check_new(store, header.get("sender_batch_id", ""), now, base_url)
    total = sum((Decimal(item["amount"]["value"]) for item in body["items"]), Decimal(0))
    _take(store, total)
    batch_id = secrets.token_hex(7).upper()
    batch: Object = {"id": batch_id, "object": "paypal_batch", "created": now, "header": header, "total": str(total)}
    batch["items"] = [_item_make(store, batch_id, item, now)["id"] for item in body["items"]]
    store.put(batch)
    for item_id in batch["items"]:
        item_end(store, item_id, _next_fate(store), now)
    return {"batch_header": _batch_header(batch, "PENDING"), "links": [_link(base_url, batch_id)]}


def batch_show(store: Store, batch_id: str) -> Object:
    """The answer to ``GET /v1/payments/payouts/{id}``. Raises PayPalError."""
    batch = _found(store, "paypal_batch", batch_id)
    items = [item_shown(_found(store, "paypal_item", item_id)) for item_id in batch["items"]]
    waiting = any(item["transaction_status"] == "PENDING" for item in items)
    return {"batch_header": _batch_header(batch, "PROCESSING" if waiting else "SUCCESS"), "items": items}


def item_show(store: Store, item_id: str) -> Object:
    """The answer to ``GET /v1/payments/payouts-item/{id}``. Raises PayPalError."""
    return item_shown(_found(store, "paypal_item", item_id))


def item_end(store: Store, item_id: str, status: str, now: int) -> Object:
    """The item comes to ``status``, and an event tells it. Raises PayPalError."""
    item = _found(store, "paypal_item", item_id)
    item |= {"status": status, "fee": str(_fee(item)) if status == "SUCCESS" else item["fee"]}
    store.put(item)
    if STATUSES[status]:
        _emit(store, f"PAYMENT.PAYOUTS-ITEM.{STATUSES[status]}", item_shown(item), now)
    return item_shown(item)


def item_shown(item: Object) -> Object:
    """An item as the API shows it."""
    shown: Object = {
        "payout_item_id": item["id"],
        "transaction_status": item["status"],
        "payout_item_fee": {"currency": "USD", "value": item["fee"]},
        "payout_batch_id": item["batch"],
        "payout_item": item["wish"],
        "time_processed": instant(item["created"]),
    }
    if item["status"] in _ERRORS:
        name, message = _ERRORS[item["status"]]
        shown["errors"] = {"name": name, "message": message, "information_link": "https://developer.paypal.com"}
    return shown


def instant(seconds: int) -> str:
    """As PayPal writes instants."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_new(store: Store, sender_batch_id: str, now: int, base_url: str) -> None:
    for batch in store.newest("paypal_batch"):
        is_same = sender_batch_id and batch["header"].get("sender_batch_id") == sender_batch_id
        if is_same and batch["created"] > now - REMEMBERED_SECONDS:
            detail = {
                "field": "SENDER_BATCH_ID",
                "location": "body",
                "issue": "Batch with given sender_batch_id already exists",
                "link": [_link(base_url, batch["id"])],
            }
            raise PayPalError(400, "USER_BUSINESS_ERROR", "User business error.", [detail])


def _take(store: Store, total: Decimal) -> None:
    """The balance is unlimited until a test says how much there is."""
    left = store.note("paypal_dollars")
    if left is None:
        return
    if Decimal(left) < total:
        raise PayPalError(
            422, "INSUFFICIENT_FUNDS", "Sender does not have sufficient funds. Please add funds and retry."
        )
    store.note_set("paypal_dollars", str(Decimal(left) - total))


def _next_fate(store: Store) -> str:
    fates = store.note("paypal_fates", [])
    fate = fates.pop(0) if fates else "SUCCESS"
    store.note_set("paypal_fates", fates)
    return str(fate)


def _item_make(store: Store, batch_id: str, wish: Object, now: int) -> Object:
    return store.put(
        {
            "id": secrets.token_hex(7).upper(),
            "object": "paypal_item",
            "batch": batch_id,
            "created": now,
            "fee": "0.00",
            "status": "PENDING",
            "wish": wish,
        }
    )


def _batch_header(batch: Object, status: str) -> Object:
    return {
        "payout_batch_id": batch["id"],
        "batch_status": status,
        "time_created": instant(batch["created"]),
        "sender_batch_header": batch["header"],
        "amount": {"currency": "USD", "value": batch["total"]},
    }


def _link(base_url: str, batch_id: str) -> Object:
    address = f"{base_url}/v1/payments/payouts/{batch_id}"
    return {"href": address, "rel": "self", "method": "GET", "encType": "application/json"}


def _fee(item: Object) -> Decimal:
    """2 %, at most $20."""
    return min(FEE_MOST, (Decimal(item["wish"]["amount"]["value"]) * FEE_SHARE).quantize(Decimal("0.01")))


def _found(store: Store, kind: str, object_id: str) -> Object:
    found = store.get(object_id)
    if found is None or found["object"] != kind:
        raise unknown(object_id)
    return found


def _emit(store: Store, event_type: str, resource: Object, now: int) -> None:
    event: Object = {
        "id": f"WH-{secrets.token_hex(8).upper()}",
        "object": "paypal_event",
        "event_version": "1.0",
        "create_time": instant(now),
        "resource_type": "payouts_item",
        "event_type": event_type,
        "summary": event_type.replace(".", " ").capitalize(),
        "resource": resource,
    }
    store.put(event)
    webhooks.enqueue(store, "paypal", event["id"], now)
