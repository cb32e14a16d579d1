"""Webhooks are hints: signed, doubled, late or lost, what counts is what the provider says when asked."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from billing import services
from billing.domain.payouts import Order
from billing.gateways import carriers
from billing.models import Payout, ProviderEvent
from marketplace.models import Notice, User
from tests.billing.weeks import FRIDAY, HOUR
from tests.payouts.earning import DOLLAR, earnings, week_of
from tests.payouts.providers import Providers

pytestmark = pytest.mark.django_db


def deliver(client: Client, hook: str, delivery: dict[str, Any], body: str | None = None) -> int:
    """The provider's request, as it is sent; the status it is answered with."""
    path = f"/webhooks/{hook}/"
    content = body if body is not None else delivery["body"]
    return client.post(path, content, content_type="application/json", headers=delivery["headers"]).status_code


def settle(now: datetime) -> int:
    """What workers do after an event came; how many payouts they asked about."""
    services.events_process(now=now)
    return services.payouts_look(now=now)


def state(payout: Payout) -> str:
    payout.refresh_from_db()
    return payout.state


@pytest.fixture
def bank_payout(providers: Providers, host_user: User, client_user: User) -> Payout:
    """Sent, and the bank takes its time."""
    providers.control("/stripe/platform", banks_are_quick=False)
    providers.bank(host_user)
    payout = week_of(host_user, client_user, dollars=75)
    services.payouts_send(now=FRIDAY)
    services.payouts_look(now=FRIDAY + timedelta(minutes=5))
    payout.refresh_from_db()
    return payout


@pytest.fixture
def paypal_payout(providers: Providers, host_user: User, client_user: User) -> Payout:
    """Sent, asked about, and not claimed yet."""
    providers.control("/paypal/plan", next=["UNCLAIMED"])
    providers.paypal(host_user)
    payout = week_of(host_user, client_user, dollars=75)
    services.payouts_send(now=FRIDAY)
    services.payouts_look(now=FRIDAY + timedelta(minutes=5))
    payout.refresh_from_db()
    return payout


def test_a_bank_has_paid(client: Client, providers: Providers, bank_payout: Payout) -> None:
    providers.control(f"/payouts/{bank_payout.item_id}/end", failure_code="")
    told = providers.deliveries("stripe-connect")[-1]
    assert told["event"]["type"] == "payout.paid"
    assert state(bank_payout) == "sent"
    with time_machine.travel(FRIDAY + timedelta(minutes=20), tick=False):
        assert [deliver(client, "stripe-connect", told) for _ in range(2)] == [200, 200]
    assert settle(FRIDAY + timedelta(minutes=20)) == 1
    assert state(bank_payout) == "paid"
    assert services.payouts_look(now=FRIDAY + timedelta(minutes=20)) == 0


def test_events_in_another_order_and_long_ago(
    client: Client, providers: Providers, bank_payout: Payout, host_user: User
) -> None:
    """The failure is told first, then that it was paid, both again: it has failed, once."""
    providers.control(f"/payouts/{bank_payout.item_id}/end", failure_code="")
    providers.control(f"/payouts/{bank_payout.item_id}/end", failure_code="no_account")
    paid, failed = providers.deliveries("stripe-connect")[-2:]
    assert (paid["event"]["type"], failed["event"]["type"]) == ("payout.paid", "payout.failed")
    for minute, told in enumerate([failed, paid, failed, paid], start=20):
        now = FRIDAY + timedelta(minutes=minute)
        with time_machine.travel(now, tick=False):
            assert deliver(client, "stripe-connect", told) == 200
        settle(now)
    assert state(bank_payout) == "returned"
    assert earnings(host_user) == 75 * DOLLAR
    assert Notice.objects.filter(kind="payout_returned").count() == 1


def test_lost_events_cost_an_hour(providers: Providers, bank_payout: Payout) -> None:
    providers.control(f"/payouts/{bank_payout.item_id}/end", failure_code="")
    assert services.payouts_look(now=FRIDAY + timedelta(minutes=64)) == 0
    assert services.payouts_look(now=FRIDAY + timedelta(minutes=65)) == 1
    assert state(bank_payout) == "paid"


def test_an_account_that_is_restricted(
    client: Client, providers: Providers, bank_payout: Payout, host_user: User
) -> None:
    providers.control(f"/accounts/{bank_payout.destination}/restrict", reason="requirements.past_due")
    told = providers.deliveries("stripe-connect")[-1]
    with time_machine.travel(FRIDAY + HOUR, tick=False):
        assert deliver(client, "stripe-connect", told) == 200
    settle(FRIDAY + HOUR)
    assert services.methods_refresh(now=FRIDAY + HOUR) == 1
    host_user.payout_method.refresh_from_db()
    assert host_user.payout_method.state == "restricted"
    assert Notice.objects.filter(kind="payout_method").order_by("pk").last().subject == "Your payout account needs you"  # type: ignore[union-attr]  # there is one


def test_paypal_tells_of_an_item(client: Client, providers: Providers, paypal_payout: Payout) -> None:
    assert state(paypal_payout) == "sent"
    providers.control(f"/paypal/items/{paypal_payout.item_id}/end", status="SUCCESS")
    told = providers.deliveries("paypal")[-1]
    assert told["event"]["event_type"] == "PAYMENT.PAYOUTS-ITEM.SUCCEEDED"
    with time_machine.travel(FRIDAY + timedelta(minutes=20), tick=False):
        assert [deliver(client, "paypal", told) for _ in range(2)] == [200, 200]
    assert settle(FRIDAY + timedelta(minutes=20)) == 1
    assert state(paypal_payout) == "paid"


@pytest.mark.usefixtures("bank_payout")
@pytest.mark.parametrize("hook", ["stripe-connect", "paypal"])
def test_forged_events_are_refused(client: Client, providers: Providers, hook: str) -> None:
    """Another body under a good signature, no signature, another's signature, no event at all."""
    if hook == "paypal":
        providers.control(f"/paypal/items/{paypal_item(providers)}/end", status="SUCCESS")
    told = providers.deliveries(hook)[-1]
    forged = told["body"].replace('"id"', '"ID"', 1)
    with time_machine.travel(FRIDAY + HOUR, tick=False):
        assert deliver(client, hook, told, forged) == 400
        assert deliver(client, hook, {**told, "headers": {}}) == 400
        others = {"Stripe-Signature": "t=1,v1=00", "Paypal-Transmission-Sig": "00"}
        assert deliver(client, hook, {**told, "headers": {**told["headers"], **others}}) == 400
        assert deliver(client, hook, told, "no JSON") == 400
    assert not ProviderEvent.objects.exists()


def test_a_transfer_is_reversed_at_the_provider(client: Client, providers: Providers, bank_payout: Payout) -> None:
    """That is told to the webhook of the platform itself."""
    providers.control(f"/payouts/{bank_payout.item_id}/end", failure_code="no_account")
    providers.control(f"/transfers/{bank_payout.transfer_id}/reverse")
    told = providers.deliveries("stripe")[-1]
    assert told["event"]["type"] == "transfer.reversed"
    with time_machine.travel(FRIDAY + timedelta(minutes=20), tick=False):
        assert deliver(client, "stripe", told) == 200
    assert settle(FRIDAY + timedelta(minutes=20)) == 1
    assert state(bank_payout) == "returned"


def paypal_item(providers: Providers) -> str:
    """Somebody's item at PayPal."""
    carriers.paypal().send(Order("other", 1, DOLLAR, "A" * 13, "x"), again=False)
    return str(providers.objects("paypal_item")[0]["id"])


def test_an_event_long_after_it_was_paid_is_followed(client: Client, providers: Providers, bank_payout: Payout) -> None:
    """Nobody asks any more by then, but for the event."""
    providers.control(f"/payouts/{bank_payout.item_id}/end", failure_code="")
    later = FRIDAY + timedelta(days=40)
    for day in (1, 2, 16, 18):
        services.payouts_look(now=FRIDAY + timedelta(days=day))
    assert state(bank_payout) == "paid"
    assert services.payouts_look(now=later) == 0
    providers.control(f"/payouts/{bank_payout.item_id}/end", failure_code="account_closed")
    with time_machine.travel(later, tick=False):
        assert deliver(client, "stripe-connect", providers.deliveries("stripe-connect")[-1]) == 200
    assert settle(later) == 1
    assert state(bank_payout) == "returned"
