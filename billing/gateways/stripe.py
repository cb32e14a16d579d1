"""Stripe, through its own SDK: what we ask and what it answers, in words of ours. Amounts here are cents.

Every call has a timeout; every one that changes something has an idempotency key, so that it may be repeated whenever
its answer was lost.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

import stripe
from django.conf import settings

from billing.domain.errors import ForgedEventError, PaymentRefusedError, PaymentsUnavailableError

PROVIDER = "stripe"
CURRENCY = "usd"
PAGE_SIZE = 100
AUTHENTICATION_REQUIRED = "authentication_required"

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class CardFact:
    """A saved card."""

    card_id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int


@dataclass(frozen=True, slots=True)
class SessionFact:
    """A visit to Stripe's page. ``status`` is open, complete or expired."""

    session_id: str
    url: str
    status: str
    intent_id: str


@dataclass(frozen=True, slots=True)
class ChargeAnswer:
    """What came of charging a card. ``failure_code`` is empty unless it was refused."""

    intent_id: str
    failure_code: str
    failure_message: str


@dataclass(frozen=True, slots=True)
class RefundFact:
    """A refund; ``key`` is ours where we asked for it. ``status`` is Stripe's."""

    refund_id: str
    key: str
    cents: int
    status: str


@dataclass(frozen=True, slots=True)
class MovementFact:
    """What a dispute moved on our balance, and the fee for it."""

    movement_id: str
    cents: int
    fee_cents: int


@dataclass(frozen=True, slots=True)
class DisputeFact:
    """A dispute; ``status`` is Stripe's."""

    dispute_id: str
    cents: int
    status: str
    reason: str
    movements: tuple[MovementFact, ...]


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """All that Stripe knows of a payment. ``status`` is that of its intent."""

    intent_id: str
    key: str
    status: str
    cents: int
    received_cents: int
    currency: str
    failure_code: str
    failure_message: str
    fee_cents: int
    refunds: tuple[RefundFact, ...]
    disputes: tuple[DisputeFact, ...]


@dataclass(frozen=True, slots=True)
class EventFact:
    """An event as it was told."""

    event_id: str
    type: str
    created_at: datetime
    payload: dict[str, Any]


def is_configured() -> bool:
    """Whether there is a key to call with."""
    return bool(settings.STRIPE_SECRET_KEY)


def customer_create(*, key: str, account_id: int, email: str) -> str:
    """The id of a new customer."""
    params: Any = {"email": email, "metadata": {"account": str(account_id)}}
    return _asked(lambda: _client().v1.customers.create(params, _once("customer", key))).id


def cards_of(customer_id: str) -> list[CardFact]:
    """The customer's saved cards, newest first."""
    params: Any = {"customer": customer_id, "type": "card", "limit": PAGE_SIZE}
    found = _asked(lambda: _client().v1.payment_methods.list(params)).data
    return [
        CardFact(method.id, method.card.brand, method.card.last4, method.card.exp_month, method.card.exp_year)
        for method in found
        if method.card is not None
    ]


def card_detach(card_id: str) -> None:
    """Forget a saved card; one that is forgotten already stays so. Raises PaymentsUnavailableError."""
    try:
        _asked(lambda: _client().v1.payment_methods.detach(card_id, options=_once("detach", card_id)))
    except PaymentRefusedError:
        return


def checkout_open(*, key: str, customer_id: str, cents: int, name: str, back_url: str) -> SessionFact:
    """A page of Stripe's on which the customer pays; it leads back to ``back_url`` either way."""
    params: Any = {
        "mode": "payment",
        "customer": customer_id,
        "client_reference_id": key,
        "metadata": {"payment": key},
        "line_items": [
            {"quantity": 1, "price_data": {"currency": CURRENCY, "unit_amount": cents, "product_data": {"name": name}}}
        ],
        "payment_intent_data": {"metadata": {"payment": key}, "description": name},
        "success_url": f"{back_url}?paid={key}",
        "cancel_url": back_url,
    }
    return _session(_asked(lambda: _client().v1.checkout.sessions.create(params, _once("checkout", key))))


def card_page_open(*, key: str, customer_id: str, back_url: str) -> SessionFact:
    """A page of Stripe's on which the customer saves a card; its bank may ask for its consent there."""
    params: Any = {
        "mode": "setup",
        "currency": CURRENCY,
        "customer": customer_id,
        "success_url": f"{back_url}?card=saved",
        "cancel_url": back_url,
    }
    return _session(_asked(lambda: _client().v1.checkout.sessions.create(params, _once("card", key))))


def session_fact(session_id: str) -> SessionFact:
    """How the visit to Stripe's page stands."""
    return _session(_asked(lambda: _client().v1.checkout.sessions.retrieve(session_id)))


def session_expire(session_id: str) -> None:
    """Let nobody pay on this page any more; one that is complete or over stays so."""
    try:
        _asked(lambda: _client().v1.checkout.sessions.expire(session_id, options=_once("expire", session_id)))
    except PaymentRefusedError:
        return


def charge_off_session(*, key: str, customer_id: str, card_id: str, cents: int, name: str) -> ChargeAnswer:
    """Charge a saved card in its owner's absence. Repeated with the same key it charges nothing more.

    Raises PaymentsUnavailableError when it is not known whether it was charged, PaymentRefusedError when it was not.
    """
    params: Any = {
        "amount": cents,
        "currency": CURRENCY,
        "customer": customer_id,
        "payment_method": card_id,
        "off_session": True,
        "confirm": True,
        "description": name,
        "metadata": {"payment": key},
    }
    try:
        intent = _asked(lambda: _client().v1.payment_intents.create(params, _once("payment", key)))
    except stripe.CardError as error:
        return _refused_charge(error)
    return ChargeAnswer(intent.id, "", "")


def payment_facts(intent_id: str) -> PaymentFacts:
    """Everything about a payment, asked now."""
    expand: Any = {"expand": ["latest_charge.balance_transaction"]}
    of_intent: Any = {"payment_intent": intent_id, "limit": PAGE_SIZE}
    intent = _asked(lambda: _client().v1.payment_intents.retrieve(intent_id, expand))
    refunds = _asked(lambda: _client().v1.refunds.list(of_intent)).data
    disputes = _asked(lambda: _client().v1.disputes.list(of_intent)).data
    error = intent.last_payment_error
    code, message = ("", "") if error is None else _refusal(error)
    return PaymentFacts(
        intent_id=intent.id,
        key=intent.metadata.to_dict().get("payment", ""),
        status=intent.status,
        cents=intent.amount,
        received_cents=intent.amount_received,
        currency=intent.currency,
        failure_code=code,
        failure_message=message,
        fee_cents=_fee_cents(intent.latest_charge),
        refunds=tuple(map(_refund, refunds)),
        disputes=tuple(map(_dispute, disputes)),
    )


def intent_of(*, key: str, customer_id: str, since: datetime) -> str:
    """The id of the customer's payment intent with our key, made after ``since``; empty when there is none."""
    params: Any = {"customer": customer_id, "created": {"gte": int(since.timestamp())}, "limit": PAGE_SIZE}
    found = _asked(lambda: list(_client().v1.payment_intents.list(params).auto_paging_iter()))
    return next((intent.id for intent in found if intent.metadata.to_dict().get("payment") == key), "")


def refund_create(*, key: str, intent_id: str, cents: int) -> RefundFact:
    """Give money back to the card. Raises PaymentsUnavailableError, PaymentRefusedError."""
    params: Any = {
        "payment_intent": intent_id,
        "amount": cents,
        "reason": "requested_by_customer",
        "metadata": {"refund": key},
    }
    return _refund(_asked(lambda: _client().v1.refunds.create(params, _once("refund", key))))


def events_since(since: datetime, types: tuple[str, ...]) -> Iterator[EventFact]:
    """The events of these types that Stripe noted from ``since`` on, newest first."""
    params: Any = {"created": {"gte": int(since.timestamp())}, "types": list(types), "limit": PAGE_SIZE}
    found = _asked(lambda: list(_client().v1.events.list(params).auto_paging_iter()))
    return (_event(event.to_dict()) for event in found)


def webhook_event(body: bytes, signature: str) -> EventFact:
    """The event in a webhook's body. Raises ForgedEventError unless Stripe signed it, not long ago."""
    return signed_event(body, signature, settings.STRIPE_WEBHOOK_SECRET)


def signed_event(body: bytes, signature: str, secret: str) -> EventFact:
    """The same for a webhook with this secret; without one every event is forged."""
    if not secret:
        raise ForgedEventError("No webhook secret is set.")
    try:
        event = stripe.Webhook.construct_event(body, signature, secret)
        return _event(event.to_dict())
    except (stripe.SignatureVerificationError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ForgedEventError("The signature is not Stripe's.") from error


def _client() -> stripe.StripeClient:
    return _client_for(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)


@cache
def _client_for(key: str, api_base: str) -> stripe.StripeClient:
    if not key:
        raise PaymentsUnavailableError("Cards are not taken here yet: no payment provider is set up.")
    return stripe.StripeClient(
        key,
        base_addresses={"api": api_base},
        http_client=stripe.RequestsClient(timeout=settings.PROVIDER_TIMEOUT_SECONDS),
        max_network_retries=settings.PROVIDER_RETRIES,
    )


def _once(action: str, key: str) -> Any:
    return {"idempotency_key": f"{action}-{key}"}


def _asked(call: Callable[[], Answer]) -> Answer:
    """The answer. CardError goes through: whoever charges a card expects it."""
    try:
        return call()
    except stripe.CardError:
        raise
    except (stripe.InvalidRequestError, stripe.IdempotencyError) as error:
        if error.http_status == 409:
            raise PaymentsUnavailableError("The payment provider is busy with the same request.") from error
        raise PaymentRefusedError(error.user_message or "The payment provider refused the request.") from error
    except stripe.StripeError as error:
        raise PaymentsUnavailableError("The payment provider can't be reached at the moment.") from error


def _refused_charge(error: stripe.CardError) -> ChargeAnswer:
    details: Mapping[str, Any] = (error.json_body or {}).get("error", {}) if isinstance(error.json_body, dict) else {}
    intent_id = (details.get("payment_intent") or {}).get("id", "")
    return ChargeAnswer(intent_id, _code(error.code, details.get("decline_code")), error.user_message or "Declined.")


def _refusal(error: Any) -> tuple[str, str]:
    """Code and message of an intent's last error, which has no field that does not apply."""
    code = _code(getattr(error, "code", None), getattr(error, "decline_code", None))
    return code, getattr(error, "message", None) or ""


def _code(code: str | None, decline_code: str | None) -> str:
    """The finer of the two; that the bank wants to ask its customer is told by either."""
    if code == AUTHENTICATION_REQUIRED:
        return AUTHENTICATION_REQUIRED
    return decline_code or code or "declined"


def _session(session: Any) -> SessionFact:
    return SessionFact(session.id, session.url or "", session.status or "", _id(session.payment_intent))


def _refund(refund: Any) -> RefundFact:
    metadata = {} if refund.metadata is None else refund.metadata.to_dict()
    return RefundFact(refund.id, metadata.get("refund", ""), refund.amount, refund.status or "")


def _dispute(dispute: Any) -> DisputeFact:
    movements = tuple(MovementFact(row.id, row.amount, row.fee) for row in dispute.balance_transactions)
    return DisputeFact(dispute.id, dispute.amount, dispute.status, dispute.reason, movements)


def _event(payload: dict[str, Any]) -> EventFact:
    return EventFact(payload["id"], payload["type"], datetime.fromtimestamp(payload["created"], UTC), payload)


def _id(found: Any) -> str:
    """The id of what may be expanded, or not there."""
    if found is None:
        return ""
    return found if isinstance(found, str) else str(found.id)


def _fee_cents(charge: Any) -> int:
    movement = getattr(charge, "balance_transaction", None)
    return int(movement.fee) if movement is not None and not isinstance(movement, str) else 0
