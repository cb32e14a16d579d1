"""A client at the till: the site's services, the provider as a real server, and the webhooks between them by hand."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import time_machine
from django.test import Client
from django.utils import timezone

from billing import selectors, services
from billing.models import AccountKind, Card, Entry, EntryKind, Payment, Posting, ProviderEvent
from marketplace.models import Notice, User
from tests.plumbing.provider import Provider

DOLLAR = 1_000_000
GOOD, ASKS_ALWAYS, ASKS_ONCE = "4242424242424242", "4000002760003184", "4000002500003155"
DECLINED, LATER_DECLINED = "4000000000000002", "4000000000000341"
BACK = "http://site.example/billing/payment/returned/"

Sort = Callable[[list[dict[str, Any]]], Iterable[dict[str, Any]]]


@dataclass
class Till:
    """Webhooks reach the site when the test says so. ``clock`` is everybody's, and stands still."""

    user: User
    provider: Provider
    clock: time_machine.Traveller
    brought: int = 0
    """Deliveries of the provider that were handed over, or lost, so far."""

    @property
    def now(self) -> datetime:
        return timezone.now()

    def buy(self, dollars: int, number: str = GOOD, key: UUID | None = None, **form: str) -> Payment:
        """Buy credit on the provider's page, without any webhook."""
        payment = self.begin(dollars, key)
        self.provider.type_card(payment.page_url, number, **form)
        return payment

    def begin(self, dollars: int, key: UUID | None = None) -> Payment:
        """Come as far as the provider's page."""
        return services.purchase_begin(
            user=self.user, amount_micros=dollars * DOLLAR, key=key or uuid4(), back_url=BACK, now=self.now
        )

    def save_card(self, number: str = GOOD) -> Card:
        """Save a card on the provider's page; its bank is told what it wants to hear."""
        page = services.card_page(user=self.user, back_url=BACK, now=self.now)
        answer = self.provider.type_card(page, number, bank="confirm")
        assert answer.status_code == 303, answer.text
        self.webhooks()
        card = selectors.default_card(self.user)
        assert card is not None
        return card

    def auto_billing(self, threshold: int = 5, amount: int = 20, mode: str = "fixed", *, enabled: bool = True) -> None:
        """Dollars."""
        services.auto_billing_set(
            user=self.user,
            enabled=enabled,
            threshold_micros=threshold * DOLLAR,
            mode=mode,
            amount_micros=amount * DOLLAR,
            now=self.now,
        )

    def becomes(self, card: Card, number: str) -> None:
        """The saved card behaves like this test card from now on."""
        self.provider.control(f"/payment_methods/{card.provider_id}/number", number=number)

    def charge_due(self) -> int:
        return services.auto_billing_charge_due(now=self.now)

    def new_deliveries(self) -> list[dict[str, Any]]:
        """What the provider has sent since the last time this was asked."""
        found = self.provider.deliveries()[self.brought :]
        self.brought += len(found)
        return found

    def webhooks(self, order: Sort = list) -> list[int]:
        """Hand over what the provider sent since the last time, in this order, and process it; HTTP statuses."""
        statuses = [self.hand_over(delivery) for delivery in order(self.new_deliveries())]
        services.events_process(now=self.now)
        return statuses

    def lose_webhooks(self) -> None:
        """What was sent until now never arrives."""
        self.new_deliveries()

    @staticmethod
    def hand_over(delivery: dict[str, Any], **headers: str) -> int:
        """Post one webhook to the site."""
        signed = {"Stripe-Signature": delivery["headers"]["Stripe-Signature"], **headers}
        body = delivery["body"]
        return Client().post("/webhooks/stripe/", body, content_type="application/json", headers=signed).status_code

    def later(self, **span: float) -> None:
        self.clock.shift(timedelta(**span))

    def at(self, instant: datetime) -> None:
        self.clock.move_to(instant)

    def balance(self) -> int:
        """Micro-dollars."""
        return selectors.balance_micros(self.user, self.now)

    def entries(self) -> list[tuple[str, int]]:
        """Kind and the client's micro-dollars of all entries that have to do with payments, oldest first."""
        kinds = [EntryKind.PAYMENT, EntryKind.PAYMENT_REFUND, EntryKind.DISPUTE, EntryKind.DISPUTE_WON]
        rows = Posting.objects.filter(
            entry__kind__in=kinds, account__kind=AccountKind.CLIENT_CREDIT, account__owner=self.user
        )
        return list(rows.order_by("pk").values_list("entry__kind", "amount_micros"))

    def told(self) -> list[str]:
        """Kinds of the mails to the client, oldest first."""
        return list(Notice.objects.filter(client=self.user).order_by("pk").values_list("kind", flat=True))

    def charges(self) -> list[tuple[int, str]]:
        """Cents and state of the charges at the provider, oldest first."""
        events = self.provider.stripe.v1.events.list({"types": ["charge.succeeded", "charge.failed"], "limit": 100})
        return [(event.data.object["amount"], event.data.object["status"]) for event in events.data][::-1]


def clearing() -> int:
    """What the provider owes us by our books, in micro-dollars."""
    accounts = {"account__kind": AccountKind.PROCESSOR_CLEARING, "account__reference": "stripe"}
    return -sum(Posting.objects.filter(**accounts).values_list("amount_micros", flat=True))


def fees() -> int:
    """Processor's fees, in micro-dollars."""
    rows = Posting.objects.filter(
        entry__kind=EntryKind.PROCESSOR_FEE, account__kind=AccountKind.PLATFORM_FEES
    ).values_list("amount_micros", flat=True)
    return -sum(rows)


def provider_balance(provider: Provider) -> int:
    """What the provider says it owes us, in micro-dollars."""
    with provider.sandbox.store.transaction():
        rows = provider.sandbox.store.newest("balance_transaction")
    return sum(int(row["net"]) * 10_000 for row in rows)


def books_are_right(till: Till) -> None:
    """The ledger proves, and agrees with the provider to the cent."""
    assert selectors.ledger_check(till.now) == []
    assert clearing() == provider_balance(till.provider)
    assert not ProviderEvent.objects.filter(state="failed").exists()
    for entry in Entry.objects.all():
        assert sum(entry.postings.values_list("amount_micros", flat=True)) == 0


def forged(delivery: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The same webhook with another body under its old signature."""
    return {**delivery, "body": json.dumps(json.loads(delivery["body"]) | changes)}
