"""Stripe Connect: hosts' bank accounts in the US.

Each host has an Express account of its own, whose identity and bank account Stripe's pages ask for. A payout is a
transfer to that account and, because its schedule is manual, a payout from there to the bank. Both carry our key; the
transfer also as its ``transfer_group``, by which it is found again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import stripe
from django.conf import settings
from stripe import RequestsClient, StripeClient

from billing.domain.payouts import Destination, Order, Outcome, PayoutState
from billing.gateways.carrier import BusyError, Hint, RefusedError, UnknownOutcomeError
from billing.gateways.stripe import EventFact, signed_event

EVENTS = "stripe-connect"
"""Whose events those about hosts' accounts are."""
COUNTRY = "US"
_UNFIT_DESTINATION = frozenset({"account_invalid", "insufficient_capabilities_for_transfer", "resource_missing"})
_NO_ANSWER = (stripe.APIConnectionError, stripe.APIError, stripe.RateLimitError, stripe.IdempotencyError)


@dataclass(frozen=True)
class StripeConnect:
    """The carrier behind one secret key."""

    secret_key: str
    api_base: str

    @property
    def _api(self) -> Any:
        http = RequestsClient(timeout=settings.PROVIDER_TIMEOUT_SECONDS)
        addresses: Any = {"api": self.api_base}
        return StripeClient(self.secret_key, base_addresses=addresses, http_client=http, max_network_retries=0).v1

    def send(self, order: Order, *, again: bool) -> Outcome:
        """See ``Carrier``. What the bank's part refuses after the transfer is taken back first."""
        transfer = self._found(order) if again or order.attempt > 1 else None
        if transfer is None:
            transfer = self._transferred(order)
        if transfer.reversed:
            raise RefusedError("The transfer was taken back.")
        try:
            payout = self._paid_out(order)
        except stripe.InvalidRequestError as error:
            if error.code == "balance_insufficient":
                raise UnknownOutcomeError("The transfer is not available on the host's account yet.") from error
            self._take_back(transfer.id, order)
            raise RefusedError(_words(error)) from error
        return Outcome(PayoutState.SENT, transfer.id, payout.id)

    def look(self, order: Order, transfer_id: str, item_id: str) -> Outcome:
        """See ``Carrier``. What a bank has refused lies on the host's account with Stripe: it is taken back."""
        try:
            transfer = self._api.transfers.retrieve(transfer_id)
            options: Any = {"stripe_account": order.destination}
            payout = self._api.payouts.retrieve(item_id, options=options)
        except stripe.StripeError as error:
            raise UnknownOutcomeError(_words(error)) from error
        if payout.status in ("failed", "canceled") and not transfer.reversed:
            self._take_back(transfer_id, order)
        elif not transfer.reversed:
            state = PayoutState.PAID if payout.status == "paid" else PayoutState.SENT
            return Outcome(state, transfer_id, item_id)
        reason = payout.failure_message or "The transfer was reversed."
        return Outcome(PayoutState.RETURNED, transfer_id, item_id, reason)

    def destination(self, account_id: str) -> Destination:
        """See ``Carrier``."""
        try:
            account = self._api.accounts.retrieve(account_id)
        except stripe.StripeError as error:
            raise UnknownOutcomeError(_words(error)) from error
        found = account.to_dict()
        transfers = (found.get("capabilities") or {}).get("transfers")
        ready = bool(found.get("payouts_enabled")) and transfers == "active"
        disabled = (found.get("requirements") or {}).get("disabled_reason") or ""
        problem = disabled if found.get("details_submitted") and not ready else ""
        return Destination(account_id, ready, _bank(found), problem)

    def account_open(self, *, key: str, host_id: int, email: str) -> str:
        """A new Express account for a host, its id; the same key again is the same account.

        Raises UnknownOutcomeError.
        """
        wish: Any = {
            "type": "express",
            "country": COUNTRY,
            "email": email,
            "capabilities": {"transfers": {"requested": True}},
            "settings": {"payouts": {"schedule": {"interval": "manual"}}},
            "metadata": {"host": str(host_id)},
        }
        try:
            account = self._api.accounts.create(wish, options={"idempotency_key": key})
        except stripe.StripeError as error:
            raise UnknownOutcomeError(_words(error)) from error
        return str(account.id)

    def onboarding_url(self, account_id: str, *, refresh_url: str, return_url: str) -> str:
        """Stripe's page where the host says who it is and where its money goes. Raises UnknownOutcomeError."""
        wish: Any = {
            "account": account_id,
            "type": "account_onboarding",
            "refresh_url": refresh_url,
            "return_url": return_url,
        }
        try:
            return str(self._api.account_links.create(wish).url)
        except stripe.StripeError as error:
            raise UnknownOutcomeError(_words(error)) from error

    def _found(self, order: Order) -> Any:
        try:
            found = self._api.transfers.list({"transfer_group": order.key, "limit": 100})
        except stripe.StripeError as error:
            raise UnknownOutcomeError(_words(error)) from error
        standing = [transfer for transfer in found.data if not transfer.reversed]
        return next(iter([*standing, *found.data]), None)

    def _transferred(self, order: Order) -> Any:
        wish: Any = {
            "amount": order.amount_cents,
            "currency": "usd",
            "destination": order.destination,
            "description": order.memo,
            "transfer_group": order.key,
            "metadata": {"payout": order.key},
        }
        try:
            return self._api.transfers.create(wish, options={"idempotency_key": f"{order.key}-{order.attempt}"})
        except stripe.StripeError as error:
            _raise(error)

    def _paid_out(self, order: Order) -> Any:
        """Raises stripe.InvalidRequestError when the account or its bank takes no payouts."""
        wish: Any = {
            "amount": order.amount_cents,
            "currency": "usd",
            "description": order.memo,
            "metadata": {"payout": order.key},
        }
        options = {"idempotency_key": f"{order.key}-bank", "stripe_account": order.destination}
        try:
            return self._api.payouts.create(wish, options=options)
        except stripe.InvalidRequestError:
            raise
        except stripe.StripeError as error:
            raise UnknownOutcomeError(_words(error)) from error

    def _take_back(self, transfer_id: str, order: Order) -> None:
        try:
            self._api.transfers.reversals.create(transfer_id, options={"idempotency_key": f"{order.key}-back"})
        except stripe.StripeError as error:
            raise UnknownOutcomeError(_words(error)) from error


def webhook_event(body: bytes, signature: str) -> EventFact:
    """The event in a webhook's body. Raises ForgedEventError unless Stripe signed it for hosts' accounts."""
    return signed_event(body, signature, settings.STRIPE_CONNECT_WEBHOOK_SECRET)


def hint_of(event: Mapping[str, Any]) -> Hint:
    """What an event is about."""
    subject = (event.get("data") or {}).get("object") or {}
    named = {str(subject.get("object")): str(subject.get("id", ""))}
    return Hint(
        account_id=named.get("account", ""),
        transfer_id=named.get("transfer", ""),
        item_id=named.get("payout", ""),
    )


def _raise(error: stripe.StripeError) -> NoReturn:
    """In our words: did nothing happen, and will it ever?"""
    if isinstance(error, _NO_ANSWER):
        raise UnknownOutcomeError(_words(error)) from error
    if error.code in _UNFIT_DESTINATION:
        raise RefusedError(_words(error)) from error
    raise BusyError(_words(error)) from error


def _words(error: stripe.StripeError) -> str:
    return error.user_message or str(error) or type(error).__name__


def _bank(account: dict[str, Any]) -> str:
    banks = (account.get("external_accounts") or {}).get("data") or []
    return f"{banks[0].get('bank_name') or 'Bank'} \N{BULLET}\N{BULLET}{banks[0].get('last4')}" if banks else ""
