"""Payouts: how much a host gets, which way a payout goes, and what moves in the ledger with it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from billing.domain.money import MICROS_PER_DOLLAR
from billing.domain.payout_holds import NOTHING, Held

MICROS_PER_CENT = MICROS_PER_DOLLAR // 100
LATE_AFTER = timedelta(days=4)
"""Hosts are paid within four days of their invoice."""


class Provider(StrEnum):
    """Who carries the money."""

    STRIPE = "stripe"
    PAYPAL = "paypal"


class PayoutState(StrEnum):
    """Where a payout is."""

    CREATED = "created"
    SENDING = "sending"  # asked for; whether it happened may not be known
    SENT = "sent"  # the provider has it
    PAID = "paid"
    FAILED = "failed"  # it never left; the money is back
    RETURNED = "returned"  # it came back, with the money
    RECALLED = "recalled"  # it never left: some of it is held, and the rest is made a payout anew


TRANSITIONS: dict[PayoutState, frozenset[PayoutState]] = {
    PayoutState.CREATED: frozenset({PayoutState.SENDING, PayoutState.FAILED, PayoutState.RECALLED}),
    # Back to created when the provider has surely done nothing and asks for patience.
    PayoutState.SENDING: frozenset({PayoutState.CREATED, PayoutState.SENT, PayoutState.FAILED}),
    PayoutState.SENT: frozenset({PayoutState.PAID, PayoutState.RETURNED}),
    PayoutState.PAID: frozenset({PayoutState.RETURNED}),
    PayoutState.FAILED: frozenset(),
    PayoutState.RETURNED: frozenset(),
    PayoutState.RECALLED: frozenset(),
}
UNSENT = frozenset({PayoutState.CREATED, PayoutState.SENDING})
SENT_ON = frozenset({PayoutState.SENT, PayoutState.PAID})
ENDED_BADLY = frozenset({PayoutState.FAILED, PayoutState.RETURNED})


@dataclass(frozen=True, slots=True)
class Movement:
    """From one kind of account to another, as an entry of this kind."""

    entry_kind: str
    giver: str
    taker: str


CREATION = Movement("payout", "host_earnings", "payouts_pending")
MOVEMENTS: dict[tuple[PayoutState, PayoutState], Movement] = {
    (PayoutState.SENDING, PayoutState.SENT): Movement("payout_sent", "payouts_pending", "processor_clearing"),
    (PayoutState.CREATED, PayoutState.FAILED): Movement("payout_returned", "payouts_pending", "host_earnings"),
    (PayoutState.CREATED, PayoutState.RECALLED): Movement("payout_returned", "payouts_pending", "host_earnings"),
    (PayoutState.SENDING, PayoutState.FAILED): Movement("payout_returned", "payouts_pending", "host_earnings"),
    (PayoutState.SENT, PayoutState.RETURNED): Movement("payout_returned", "processor_clearing", "host_earnings"),
    (PayoutState.PAID, PayoutState.RETURNED): Movement("payout_returned", "processor_clearing", "host_earnings"),
}
"""Nothing moves on other ways."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a provider is asked to carry. There is one payout for a key, whatever the attempt."""

    key: str
    attempt: int
    """For providers that answer a repeated request as they did the first time: another is made when one surely did
    nothing."""
    amount_micros: int
    """Whole cents."""
    destination: str
    memo: str

    @property
    def amount_cents(self) -> int:
        return self.amount_micros // MICROS_PER_CENT


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a provider says became of an order: sent, paid or returned."""

    state: PayoutState
    transfer_id: str
    """Stripe's transfer, PayPal's batch."""
    item_id: str = ""
    """Stripe's payout to the bank, PayPal's item."""
    reason: str = ""
    """Why it came back, or waits."""
    fee_micros: int = 0
    """What the provider took from us for it."""


@dataclass(frozen=True, slots=True)
class Destination:
    """What a provider says of a host's account with it."""

    account_id: str
    ready: bool
    label: str = ""
    """What the host knows it by."""
    problem: str = ""
    """Why it is not ready although the host did everything; empty while the host has not."""


def payable_micros(balance_micros: int, later_micros: int, minimum_micros: int, held: Held = NOTHING) -> int:
    """What is paid out of a balance, of which ``later_micros`` were earned after the week that is paid.

    Whole cents; 0 below the minimum. What is not paid carries over. All that is held stays in the balance.
    """
    due = balance_micros - max(0, later_micros, held.later_micros) - held.due_micros
    whole = due // MICROS_PER_CENT * MICROS_PER_CENT
    return whole if whole >= max(minimum_micros, MICROS_PER_CENT) else 0


def payout_key(period_end: datetime, host_id: int, recalled: int = 0) -> str:
    """The name of a host's one payout for a week, also at the provider; another one after each that was recalled."""
    name = f"payout-{period_end:%Y%m%d}-{host_id}"
    return f"{name}-{recalled + 1}" if recalled else name


def is_late(state: str, period_end: datetime, now: datetime) -> bool:
    """Whether a payout should have left by now."""
    return state in UNSENT and now > period_end + LATE_AFTER


def provider_for(country: str) -> Provider:
    """Who carries money to a country: ACH to banks in the US, PayPal elsewhere."""
    return Provider.STRIPE if country == "US" else Provider.PAYPAL
