"""One week with every entry: Carol pays, rents two machines of Hugo's, is outbid on one, and is given use back; on
Friday Hugo is invoiced and paid. ARCHITECTURE.md tells the same story.

Machine A: one GPU for $5 an hour, on demand; traffic up costs a cent per GB. Machine B: one GPU, on which Carol bids $3
an hour and Dave $3.50. Disks of 10 GB cost $0.001 an hour. Hugo gets 75%.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import requests

from agent.protocol import ObservedTask
from billing import services
from billing.models import AccountTerms, Entry, HostInvoice, Payment, Payout
from billing.selectors import balance_micros, ledger_check
from marketplace.models import Instance, User
from marketplace.services.bids import bid_change
from marketplace.services.clearing import dirty_clear
from marketplace.services.lifecycle import instance_destroy
from marketplace.services.rent import instance_rent
from tests.billing.ledger import postings_of
from tests.billing.weeks import FRIDAY
from tests.payouts.providers import RETURN_URL, Providers
from tests.plumbing import market
from tests.plumbing.market import DOLLAR, T0, TestAgent

pytestmark = pytest.mark.django_db

CAROL, DAVE, HUGO = "client_credit carol", "client_credit dave", "host_earnings hugo"
PLATFORM, STRIPE = "platform_fees", "processor_clearing"
KEY = UUID("0d0a9ad2-8f5b-4b36-a3b8-1f6f1a4d2a77")


def after(hours: float) -> datetime:
    """Of Monday noon."""
    return T0 + timedelta(hours=hours)


@dataclass
class Week:
    """Who and what takes part, and how many entries have been read."""

    providers: Providers
    carol: User
    dave: User
    hugo: User
    staff: User
    a: TestAgent
    b: TestAgent
    seen: int = 0

    def entries(self) -> list[tuple[str, dict[str, int]]]:
        """Those since the last time this was asked, in cents where there are no smaller parts."""
        new = list(Entry.objects.filter(pk__gt=self.seen).order_by("pk"))
        self.seen = new[-1].pk if new else self.seen
        return [(entry.memo, self._named(entry)) for entry in new]

    @staticmethod
    def _named(entry: Entry) -> dict[str, int]:
        return {
            f"{kind} {email.partition('@')[0]}".strip(): micros for (kind, email), micros in postings_of(entry).items()
        }


def machine(hugo: User, price: int, **terms: Any) -> TestAgent:
    return market.listed_machine(
        host=hugo, gpus=1, gpu_micros_per_hour=price, storage_micros_per_gb_month=72_000, **terms
    )


@pytest.fixture
def week(providers: Providers) -> Week:
    carol, dave, hugo = (market.user(f"{name}@example.com") for name in ("carol", "dave", "hugo"))
    staff = User.objects.create(email="staff@example.com", is_staff=True)
    AccountTerms.objects.create(owner=carol, spend_limit_micros_per_hour=20 * DOLLAR)
    a = machine(hugo, 5 * DOLLAR, inet_up_micros_per_gb=10_000, inet_down_micros_per_gb=0)
    b = machine(hugo, 4 * DOLLAR, inet_up_micros_per_gb=0, inet_down_micros_per_gb=0)
    return Week(providers, carol, dave, hugo, staff, a, b)


def test_week(week: Week) -> None:
    carol_pays(week)
    first, second = carol_rents_both(week)
    dave_outbids_her(week, second)
    they_are_done(week, first, second)
    she_is_given_an_hour_back(week)
    friday(week)
    the_books(week)


def carol_pays(week: Week) -> None:
    """Monday noon: $50 by card. Stripe keeps $1.75 of it, which is the marketplace's to bear. Dave is given $20."""
    payment = services.purchase_begin(
        user=week.carol, amount_micros=50 * DOLLAR, key=KEY, back_url=RETURN_URL, now=after(0)
    )
    card = {"number": "4242424242424242", "expiry": "12 / 40", "cvc": "123"}
    assert requests.post(payment.page_url, card, allow_redirects=False, timeout=20).status_code == 303
    services.payment_sync(payment_id=payment.pk, reason="returned", now=after(0))
    market.grant(week.dave, 20)
    number = Payment.objects.get().pk
    assert week.entries() == [
        (f"Card payment {number}", {CAROL: 50_000_000, STRIPE: -50_000_000}),
        (f"Processor's fee for card payment {number}", {PLATFORM: -1_750_000, STRIPE: 1_750_000}),
        ("test", {DAVE: 20_000_000, "adjustments": -20_000_000}),
    ]


def carol_rents_both(week: Week) -> tuple[Instance, Instance]:
    """A on demand and B with a bid. Both run at once; nothing is posted while they do."""
    rented = [
        instance_rent(client=week.carol, offer_id=market.offer(agent).pk, request=wish, now=after(0))
        for agent, wish in ((week.a, market.wish()), (week.b, market.wish(bid_micros_per_hour=3 * DOLLAR)))
    ]
    for agent in (week.a, week.b):
        agent.obey(after(0))
    assert balance_micros(week.carol, after(1)) == 50_000_000 - 5_000_000 - 3_000_000 - 2_000
    assert week.entries() == []
    return rented[0], rented[1]


def dave_outbids_her(week: Week, second: Instance) -> None:
    """Two o'clock: her two hours are posted. Her disk stays, and costs."""
    wish = market.wish(bid_micros_per_hour=3_400_000)
    instance = instance_rent(client=week.dave, offer_id=market.offer(week.b).pk, request=wish, now=after(2))
    bid_change(instance_id=instance.pk, client=week.dave, price_micros=3_500_000, now=after(2))
    dirty_clear(now=lambda: after(2))
    for _ in range(2):
        week.b.obey(after(2))
    second.refresh_from_db()
    assert second.state == "outbid"
    assert week.entries() == [
        (f"GPU time instance:{second.pk}:gpu", {CAROL: -6_000_000, HUGO: 4_500_000, PLATFORM: 1_500_000}),
    ]


def they_are_done(week: Week, first: Instance, second: Instance) -> None:
    """Carol sends 2 GB from A. At four o'clock all is destroyed."""
    sent = ObservedTask(
        task_id=first.task_id, phase="running", run_generation=1, age_seconds=0.0, net_tx_bytes=2 * 10**9
    )
    week.a.report(after(3), sent)
    instance_destroy(instance_id=first.pk, actor=week.carol, now=after(4))
    instance_destroy(instance_id=second.pk, actor=week.carol, now=after(4))
    third = Instance.objects.get(client=week.dave)
    instance_destroy(instance_id=third.pk, actor=week.dave, now=after(4))
    assert week.entries() == [
        (f"GPU time instance:{first.pk}:gpu", {CAROL: -20_000_000, HUGO: 15_000_000, PLATFORM: 5_000_000}),
        (f"Storage instance:{first.pk}:storage", {CAROL: -4_000, HUGO: 3_000, PLATFORM: 1_000}),
        (f"Traffic instance:{first.pk}:up", {CAROL: -20_000, HUGO: 15_000, PLATFORM: 5_000}),
        (f"Storage instance:{second.pk}:storage", {CAROL: -4_000, HUGO: 3_000, PLATFORM: 1_000}),
        (f"GPU time instance:{third.pk}:gpu", {DAVE: -7_000_000, HUGO: 5_250_000, PLATFORM: 1_750_000}),
        (f"Storage instance:{third.pk}:storage", {DAVE: -2_000, HUGO: 1_500, PLATFORM: 500}),
    ]


def she_is_given_an_hour_back(week: Week) -> None:
    """Tuesday: A was slow for an hour. The marketplace bears it; Hugo keeps his part."""
    services.adjustment_request(
        kind="usage_refund",
        owner=week.carol,
        account_kind="client_credit",
        amount_micros=5 * DOLLAR,
        actor=week.staff,
        reason="Machine A was slow for an hour",
        key=KEY,
        now=after(24),
    )
    assert week.entries() == [("Machine A was slow for an hour", {CAROL: 5_000_000, "refunds": -5_000_000})]


def friday(week: Week) -> None:
    """One invoice, and a payout of its whole cents."""
    week.providers.bank(week.hugo)
    services.weekly_runs(now=FRIDAY)
    invoice = HostInvoice.objects.get()
    assert (invoice.gross_micros, invoice.net_micros) == (33_030_000, 24_772_500)
    assert services.payouts_create(now=FRIDAY) == 1
    assert services.payouts_send(now=FRIDAY + timedelta(hours=1)) == 1
    payout = Payout.objects.get()
    name = f"Payout {payout.key.removeprefix('payout-')}"
    assert week.entries() == [
        (name, {HUGO: -24_770_000, "payouts_pending": 24_770_000}),
        (name, {"payouts_pending": -24_770_000, STRIPE: 24_770_000}),
    ]


def the_books(week: Week) -> None:
    assert balance_micros(week.carol, FRIDAY) == 50_000_000 - 26_028_000 + 5_000_000
    assert balance_micros(week.dave, FRIDAY) == 20_000_000 - 7_002_000
    assert ledger_check(FRIDAY + timedelta(hours=1)) == []
