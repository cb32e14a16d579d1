"""What an event of Stripe's is about. Events are hints only: what is so is then asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PAYMENT_TYPES = (
    "checkout.session.completed",
    "checkout.session.expired",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "charge.refunded",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "refund.created",
    "refund.updated",
    "refund.failed",
)
CARD_TYPES = (
    "payment_method.attached",
    "payment_method.detached",
    "payment_method.updated",
    "payment_method.automatically_updated",
)
TYPES = (*PAYMENT_TYPES, *CARD_TYPES)
"""Those we ask for when we catch up on what we missed."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Which rows of ours to look for; empty where the event does not say."""

    payment_key: str = ""
    intent_id: str = ""
    session_id: str = ""
    customer_id: str = ""


def subject_of(event_type: str, found: Mapping[str, Any], before: Mapping[str, Any]) -> Subject | None:
    """The subject of an event about the object ``found``; None for events that we do not care about.

    ``before`` has the former values of what changed: a card that was detached has no customer any more.
    """
    if event_type in CARD_TYPES:
        return Subject(customer_id=_text(found.get("customer")) or _text(before.get("customer")))
    if event_type not in PAYMENT_TYPES:
        return None
    key = _text((found.get("metadata") or {}).get("payment"))
    if event_type.startswith("checkout.session."):
        customer_id = _text(found.get("customer")) if found.get("mode") == "setup" else ""
        return Subject(key, _text(found.get("payment_intent")), _text(found.get("id")), customer_id)
    if event_type.startswith("payment_intent."):
        return Subject(key, _text(found.get("id")))
    return Subject(key, _text(found.get("payment_intent")))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
