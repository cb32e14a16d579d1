"""The process is killed at every point of a payment; begun again until it is done, it has charged and credited once."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from django.db import connection

from billing import services
from billing.domain.payment_states import IN_FLIGHT
from billing.models import AutoBilling, LedgerAccount, Payment, PaymentRefund, ProviderEvent
from marketplace.models import User
from tests.payments.killing import KilledError, Killer, killing
from tests.payments.till import BACK, DOLLAR, GOOD, LATER_DECLINED, Till, books_are_right

pytestmark = pytest.mark.django_db(transaction=True)

LIVES_AT_MOST = 6
Act = Callable[[], None]


@pytest.fixture
def killer() -> Iterator[Killer]:
    with killing() as found:
        yield found


def newcomer(till: Till) -> Till:
    """Another client at the same provider."""
    return replace(till, user=User.objects.create(email=f"{uuid4()}@example.com"))


def live(till: Till, act: Act) -> None:
    """What runs by itself, once: the tasks of beat, and the webhooks, which are repeated until they are taken."""
    act()
    for delivery in till.provider.deliveries(till.brought):
        assert till.hand_over(delivery) == 200
        till.brought += 1
    services.events_process(now=till.now)
    services.payments_reconcile(now=till.now)
    services.events_catch_up(now=till.now)
    services.events_process(now=till.now)


def until_done(till: Till, act: Act) -> None:
    """Life after life, until one comes to its end."""
    for _ in range(LIVES_AT_MOST):
        try:
            live(till, act)
        except KilledError:
            connection.run_on_commit = []
            till.later(minutes=5)
        else:
            return
    raise AssertionError("it never ends")


def killed_at_every_point(
    till: Till, killer: Killer, begin: Callable[[Till], Act], check: Callable[[Till], None]
) -> None:
    """``begin`` prepares a client and says what is to be done; ``check`` looks at how that ended."""
    killer.arm(0)
    first = newcomer(till)
    act = begin(first)
    killer.arm(0)
    until_done(first, act)
    points = killer.passed
    assert points > 10
    brought = first.brought
    for point in range(1, points + 1):
        client = replace(newcomer(till), brought=brought)
        killer.arm(0)
        act = begin(client)
        killer.arm(point)
        until_done(client, act)
        killer.arm(0)
        for _ in range(2):
            client.later(minutes=10)
            live(client, act)
        brought = client.brought
        check(client)
    assert not ProviderEvent.objects.filter(state__in=["received", "failed"]).exists()
    assert not Payment.objects.filter(state__in=IN_FLIGHT).exists()
    books_are_right(till)


def charges_of(till: Till) -> list[tuple[int, str]]:
    customer = till.user.billing_customer.provider_id
    with till.provider.sandbox.store.transaction():
        rows = till.provider.sandbox.store.newest("charge")
    return [(row["amount"], row["status"]) for row in rows if row["customer"] == customer]


def with_auto_billing(till: Till, number: str) -> Act:
    till.save_card(number)
    till.auto_billing(threshold=5, amount=20)

    def act() -> None:
        services.auto_billing_charge_due(now=till.now)

    return act


def test_a_charge(till: Till, killer: Killer) -> None:
    def check(client: Till) -> None:
        assert charges_of(client) == [(2000, "succeeded")]
        assert client.entries() == [("payment", 20 * DOLLAR)]
        assert client.told() == ["payment_received"]

    killed_at_every_point(till, killer, lambda client: with_auto_billing(client, GOOD), check)


def test_a_charge_that_is_declined(till: Till, killer: Killer) -> None:
    def check(client: Till) -> None:
        assert charges_of(client) == [(2000, "failed")]
        assert client.entries() == []
        assert AutoBilling.objects.get(owner=client.user).failures == 1
        assert client.told() == ["payment_failed"]

    killed_at_every_point(till, killer, lambda client: with_auto_billing(client, LATER_DECLINED), check)


def test_a_purchase(till: Till, killer: Killer) -> None:
    """The client sends the form again, with the same key, until it gets to the page; it pays there once."""

    def begin(client: Till) -> Act:
        key = uuid4()
        return lambda: _buy_once(client, key)

    def check(client: Till) -> None:
        assert charges_of(client) == [(5000, "succeeded")]
        assert client.entries() == [("payment", 50 * DOLLAR)]
        assert LedgerAccount.objects.filter(owner=client.user).count() == 1

    killed_at_every_point(till, killer, begin, check)


def _buy_once(till: Till, key: UUID) -> None:
    paid = Payment.objects.filter(key=key).exclude(page_url="").first()
    if paid is None:
        paid = services.purchase_begin(user=till.user, amount_micros=50 * DOLLAR, key=key, back_url=BACK, now=till.now)
    till.provider.type_card(paid.page_url, GOOD)


def test_a_refund(till: Till, killer: Killer, staff: User) -> None:
    def begin(client: Till) -> Act:
        payment = client.buy(50)
        client.webhooks()
        key = uuid4()

        def act() -> None:
            asked = services.payment_refund(
                payment_id=payment.pk,
                amount_micros=20 * DOLLAR,
                actor=staff,
                reason="why",
                key=key,
                now=client.now,
            )
            services.refund_send(refund_id=asked.pk, now=client.now)

        return act

    def check(client: Till) -> None:
        assert client.entries() == [("payment", 50 * DOLLAR), ("payment_refund", -20 * DOLLAR)]
        refund = PaymentRefund.objects.get(payment__owner=client.user)
        assert (refund.state, refund.actor, refund.payment.refunded_micros) == ("succeeded", staff, 20 * DOLLAR)
        assert client.told() == ["payment_received", "payment_refunded"]

    killed_at_every_point(till, killer, begin, check)


def test_a_dispute_that_is_won(till: Till, killer: Killer) -> None:
    def begin(client: Till) -> Act:
        payment = client.buy(50)
        client.webhooks()
        payment.refresh_from_db()
        number = client.provider.control(f"/payment_intents/{payment.intent_id}/dispute")["id"]
        client.provider.control(f"/disputes/{number}/close", status="won")
        return lambda: None

    def check(client: Till) -> None:
        assert [kind for kind, _ in client.entries()] == ["payment", "dispute", "dispute_won"]
        assert client.balance() == 50 * DOLLAR
        assert client.told() == ["payment_received", "dispute_opened", "dispute_closed"]

    killed_at_every_point(till, killer, begin, check)
