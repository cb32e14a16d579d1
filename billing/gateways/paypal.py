"""PayPal Payouts: hosts outside of the US.

A payout is a batch of one item. PayPal refuses a batch whose ``sender_batch_id`` it has had in the last 30 days and
says which one that was: so a payout whose answer was lost is found again.
See https://developer.paypal.com/docs/api/payments.payouts-batch/v1/
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import urlencode

import requests
from django.conf import settings

from billing.domain.errors import ForgedEventError
from billing.domain.money import format_dollars, parse_dollars
from billing.domain.payouts import Destination, Order, Outcome, PayoutState
from billing.gateways.carrier import BusyError, Hint, RefusedError, UnknownOutcomeError

TOKEN_SPARE_SECONDS = 60
_PAID = frozenset({"SUCCESS"})
_WAITING = {
    "PENDING": "PayPal is working on it.",
    "ONHOLD": "PayPal is reviewing it.",
    "UNCLAIMED": "Waiting to be claimed: the recipient has to accept it at PayPal within 30 days.",
}
_SIGNATURE_HEADERS = {
    "auth_algo": "Paypal-Auth-Algo",
    "cert_url": "Paypal-Cert-Url",
    "transmission_id": "Paypal-Transmission-Id",
    "transmission_sig": "Paypal-Transmission-Sig",
    "transmission_time": "Paypal-Transmission-Time",
}


@dataclass(frozen=True)
class Answer:
    """Status and JSON of an answer of PayPal's."""

    status: int
    body: dict[str, Any]

    @property
    def words(self) -> str:
        """What it says of what went wrong."""
        issues = [str(detail.get("issue", "")) for detail in self.body.get("details") or []]
        message = self.body.get("message") or self.body.get("error_description") or f"PayPal answered {self.status}."
        return " ".join([str(message), *issues]).strip()


@dataclass
class PayPal:
    """The carrier behind one REST app. ``web_base`` is where people sign in to PayPal."""

    client_id: str
    client_secret: str
    api_base: str
    web_base: str
    _token: str = ""
    _token_until: float = 0.0
    _session: requests.Session = field(default_factory=requests.Session)

    def send(self, order: Order, *, again: bool) -> Outcome:  # noqa: ARG002  # PayPal tells by itself
        """See ``Carrier``."""
        answer = self._call("POST", "/v1/payments/payouts", body=_batch(order))
        if answer.status == 201:
            return Outcome(PayoutState.SENT, str(answer.body["batch_header"]["payout_batch_id"]))
        if answer.status >= 500:
            raise UnknownOutcomeError(answer.words)
        earlier = _earlier_batch(answer)
        if earlier:
            return self.look(order, earlier, "")
        if _is_about_receiver(answer):
            raise RefusedError(answer.words)
        raise BusyError(answer.words)

    def look(self, order: Order, transfer_id: str, item_id: str) -> Outcome:
        """See ``Carrier``."""
        if item_id:
            return _outcome(order, transfer_id, self._read(f"/v1/payments/payouts-item/{item_id}"))
        batch = self._read(f"/v1/payments/payouts/{transfer_id}")
        status, items = batch["batch_header"]["batch_status"], batch.get("items") or []
        if items:
            return _outcome(order, transfer_id, items[0])
        if status in ("DENIED", "CANCELED"):
            return Outcome(PayoutState.RETURNED, transfer_id, reason=f"PayPal has {status.lower()} the batch.")
        return Outcome(PayoutState.SENT, transfer_id, reason=_WAITING["PENDING"])

    def destination(self, account_id: str) -> Destination:
        """See ``Carrier``. PayPal says nothing of other people's accounts; whoever has signed in has one."""
        return Destination(account_id, ready=True)

    def sign_in_url(self, *, redirect_url: str, state: str) -> str:
        """PayPal's page where the host shows that an account is its own; it comes back with a code and ``state``."""
        wish = {
            "flowEntry": "static",
            "client_id": self.client_id,
            "response_type": "code",
            "scope": "openid email https://uri.paypal.com/services/paypalattributes",
            "redirect_uri": redirect_url,
            "state": state,
        }
        return f"{self.web_base}/signin/authorize?{urlencode(wish)}"

    def identity(self, code: str) -> Destination:
        """Whose account it is that the code was given for. Raises RefusedError for a code that is not, or no more,
        good, and UnknownOutcomeError."""
        answer = self._token_call({"grant_type": "authorization_code", "code": code})
        if answer.status >= 500:
            raise UnknownOutcomeError(answer.words)
        if answer.status != 200:
            raise RefusedError(answer.words)
        path = "/v1/identity/oauth2/userinfo?schema=paypalv1.1"
        found = self._call("GET", path, token=str(answer.body["access_token"]))
        if found.status != 200:
            raise UnknownOutcomeError(found.words)
        return _identity(found.body)

    def webhook_event(self, payload: bytes, headers: Mapping[str, str], webhook_id: str) -> dict[str, Any]:
        """The event in a webhook's body.

        Raises ForgedEventError unless PayPal says that it sent it; UnknownOutcomeError when it says nothing.
        """
        try:
            event: dict[str, Any] = json.loads(payload)
            asked = {name: headers[header] for name, header in _SIGNATURE_HEADERS.items()}
        except (ValueError, KeyError) as error:
            raise ForgedEventError("This is no event of PayPal's.") from error
        # The event as it came: what is signed is its bytes.
        text = json.dumps({**asked, "webhook_id": webhook_id})[:-1] + ', "webhook_event": ' + payload.decode() + "}"
        answer = self._call("POST", "/v1/notifications/verify-webhook-signature", text=text)
        if answer.status != 200:
            raise UnknownOutcomeError(answer.words)
        if answer.body.get("verification_status") != "SUCCESS":
            raise ForgedEventError("PayPal did not send this.")
        return event

    def _read(self, path: str) -> dict[str, Any]:
        answer = self._call("GET", path)
        if answer.status != 200:
            raise UnknownOutcomeError(answer.words)
        return answer.body

    def _call(self, method: str, path: str, *, body: Any = None, text: str = "", token: str = "") -> Answer:
        headers = {
            "Authorization": f"Bearer {token or self._own_token()}",
            "Content-Type": "application/json",
        }
        data = text or (json.dumps(body) if body is not None else None)
        answer = self._ask(method, path, data=data, headers=headers)
        if answer.status == 401:
            self._token_until = 0.0  # it was withdrawn; the next call asks for another
        return answer

    def _own_token(self) -> str:
        if monotonic() >= self._token_until:
            answer = self._token_call({"grant_type": "client_credentials"})
            if answer.status >= 500:
                raise UnknownOutcomeError(answer.words)
            if answer.status != 200:
                raise BusyError(answer.words)
            self._token = str(answer.body["access_token"])
            self._token_until = monotonic() + int(answer.body["expires_in"]) - TOKEN_SPARE_SECONDS
        return self._token

    def _token_call(self, form: dict[str, str]) -> Answer:
        return self._ask("POST", "/v1/oauth2/token", data=form, auth=(self.client_id, self.client_secret))

    def _ask(self, method: str, path: str, **options: Any) -> Answer:
        try:
            answer = self._session.request(
                method, self.api_base + path, timeout=settings.PROVIDER_TIMEOUT_SECONDS, **options
            )
            body = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise UnknownOutcomeError(f"PayPal did not answer: {type(error).__name__}") from error
        return Answer(answer.status_code, body if isinstance(body, dict) else {})


def hint_of(event: Mapping[str, Any]) -> Hint:
    """What an event is about."""
    resource = event.get("resource") or {}
    header = resource.get("batch_header") or {}
    return Hint(
        transfer_id=str(resource.get("payout_batch_id") or header.get("payout_batch_id") or ""),
        item_id=str(resource.get("payout_item_id") or ""),
    )


def _batch(order: Order) -> dict[str, Any]:
    return {
        "sender_batch_header": {
            "sender_batch_id": order.key,
            "email_subject": "You have been paid",
            "email_message": order.memo,
        },
        "items": [
            {
                "recipient_type": "PAYPAL_ID",
                "receiver": order.destination,
                "amount": {"value": format_dollars(order.amount_micros), "currency": "USD"},
                "note": order.memo,
                "sender_item_id": order.key,
            }
        ],
    }


def _earlier_batch(answer: Answer) -> str:
    """The id of the batch that had this sender_batch_id before; empty when that is not what was wrong."""
    for detail in answer.body.get("details") or []:
        if str(detail.get("field", "")).lower().endswith("sender_batch_id"):
            for link in detail.get("link") or detail.get("links") or []:
                return str(link["href"]).rstrip("/").rpartition("/")[2]
    return ""


def _is_about_receiver(answer: Answer) -> bool:
    details = answer.body.get("details") or []
    return answer.status in (400, 422) and any("receiver" in str(detail.get("field", "")) for detail in details)


def _outcome(order: Order, batch_id: str, item: dict[str, Any]) -> Outcome:
    """Raises UnknownOutcomeError for an item that is not the order's."""
    said = item["payout_item"]
    if said["sender_item_id"] != order.key or parse_dollars(said["amount"]["value"]) != order.amount_micros:
        raise UnknownOutcomeError(f"Batch {batch_id} is not the payout {order.key}.")
    status, item_id = str(item["transaction_status"]), str(item["payout_item_id"])
    fee = parse_dollars((item.get("payout_item_fee") or {}).get("value") or "0")
    if status in _PAID:
        return Outcome(PayoutState.PAID, batch_id, item_id, fee_micros=fee)
    if status in _WAITING:
        return Outcome(PayoutState.SENT, batch_id, item_id, _WAITING[status])
    reason = (item.get("errors") or {}).get("message") or f"PayPal says: {status.lower()}."
    return Outcome(PayoutState.RETURNED, batch_id, item_id, str(reason))


def _identity(person: dict[str, Any]) -> Destination:
    emails = person.get("emails") or []
    email = next((str(item["value"]) for item in emails if item.get("primary")), "")
    verified = str(person.get("verified_account")).lower() == "true"
    problem = "" if verified else "Confirm your account at PayPal, then sign in again."
    return Destination(str(person["payer_id"]), verified, email, problem)
