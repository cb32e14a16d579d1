"""What every carrier of payouts can do, and the ways it can go wrong."""

from dataclasses import dataclass
from typing import Protocol

from billing.domain.payouts import Destination, Order, Outcome


class RefusedError(Exception):
    """The carrier will not carry this to this destination, and has not. ``str`` says why."""


class BusyError(Exception):
    """The carrier cannot now, and has not; later it may. ``str`` says why."""


class UnknownOutcomeError(Exception):
    """No answer, or none that tells: it may have happened. Asking again with the same order is safe."""


@dataclass(frozen=True, slots=True)
class Hint:
    """What a webhook says has changed. What it is now is asked of the provider: webhooks come late, twice or never."""

    account_id: str = ""
    transfer_id: str = ""
    item_id: str = ""


class Carrier(Protocol):
    """A provider that brings money to hosts. Every call has a timeout; none belongs into a transaction."""

    def send(self, order: Order, *, again: bool) -> Outcome:
        """Carry the order; the same order again is the same payout. ``again``: it may have been asked for before.

        Raises RefusedError, BusyError, UnknownOutcomeError.
        """

    def look(self, order: Order, transfer_id: str, item_id: str) -> Outcome:
        """What became of an order that was sent. Raises UnknownOutcomeError."""

    def destination(self, account_id: str) -> Destination:
        """What the provider says of a host's account. Raises UnknownOutcomeError."""
