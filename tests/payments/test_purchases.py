"""Buying credit: credited on confirmation, once, whatever becomes of the webhooks."""

import random
from datetime import timedelta
from uuid import uuid4

import pytest
import requests
from pytest_django import Settings

from billing import services
from billing.domain.errors import (
    InvalidAmountError,
    PaymentsUnavailableError,
    UnknownPaymentError,
)
from billing.models import BillingCustomer, Payment, ProviderEvent
from tests.payments.till import (
    ASKS_ALWAYS,
    DECLINED,
    DOLLAR,
    GOOD,
    Till,
    books_are_right,
    clearing,
    fees,
    forged,
)

pytestmark = pytest.mark.django_db


def test_credit_comes_with_the_webhook_and_not_before(till: Till) -> None:
    payment = till.buy(50)
    assert till.balance() == 0
    assert set(till.webhooks()) == {200}
    assert till.balance() == 50 * DOLLAR
    payment.refresh_from_db()
    assert (payment.state, payment.fee_micros, payment.succeeded_at) == ("succeeded", 1_750_000, till.now)
    assert (clearing(), fees()) == (48_250_000, 1_750_000)
    assert till.told() == ["payment_received"]
    assert list(payment.changes.values_list("from_state", "to_state")) == [
        ("created", "processing"),
        ("processing", "succeeded"),
    ]
    books_are_right(till)


def test_doubled_and_reordered_webhooks_credit_once(till: Till) -> None:
    till.buy(50)
    deliveries = till.new_deliveries()
    jumbled = deliveries * 3
    random.Random(7).shuffle(jumbled)
    for delivery in jumbled:
        assert till.hand_over(delivery) == 200
        services.events_process(now=till.now)
    assert ProviderEvent.objects.count() == len(deliveries)
    assert till.entries() == [("payment", 50 * DOLLAR)]
    books_are_right(till)


def test_forged_webhooks_are_refused(till: Till) -> None:
    till.buy(50)
    (*_, completed) = till.new_deliveries()
    assert till.hand_over(forged(completed, id="evt_other")) == 400
    assert till.hand_over(completed, **{"Stripe-Signature": ""}) == 400
    assert till.hand_over(completed, **{"Stripe-Signature": "t=1,v1=00"}) == 400
    assert till.hand_over({**completed, "body": "[]"}) == 400
    assert ProviderEvent.objects.count() == 0
    assert till.balance() == 0


def test_without_a_secret_no_webhook_is_believed(till: Till, settings: Settings) -> None:
    till.buy(50)
    settings.STRIPE_WEBHOOK_SECRET = ""
    assert set(till.webhooks()) == {400}


def test_lost_webhooks_are_made_good_by_asking_about_the_payment(till: Till) -> None:
    till.buy(50)
    till.lose_webhooks()
    assert services.payments_reconcile(now=till.now) == 0
    till.later(minutes=3)
    assert services.payments_reconcile(now=till.now) == 1
    assert till.balance() == 50 * DOLLAR
    assert services.payments_reconcile(now=till.now + timedelta(days=1)) == 0
    books_are_right(till)


def test_lost_webhooks_are_made_good_by_the_list_of_events(till: Till) -> None:
    till.buy(50)
    till.lose_webhooks()
    assert services.events_catch_up(now=till.now) > 0
    assert services.events_catch_up(now=till.now) == 0
    services.events_process(now=till.now)
    assert till.balance() == 50 * DOLLAR
    books_are_right(till)


def test_a_webhook_that_comes_after_all_is_said_changes_nothing(till: Till) -> None:
    till.buy(50)
    till.later(minutes=3)
    services.payments_reconcile(now=till.now)
    till.later(days=2)
    assert set(till.webhooks()) == {200}
    assert till.entries() == [("payment", 50 * DOLLAR)]
    books_are_right(till)


def test_events_wait_while_the_provider_is_away(till: Till) -> None:
    till.buy(50)
    till.provider.control("/faults", kind="error", path="/v1/payment_intents", method="GET", times=100)
    till.webhooks()
    assert till.balance() == 0
    waiting = ProviderEvent.objects.filter(state="received")
    assert waiting.exists()
    requests.delete(f"{till.provider.url}/_sandbox/faults", timeout=20)
    till.later(minutes=5)
    services.events_process(now=till.now)
    assert till.balance() == 50 * DOLLAR
    assert not waiting.exists()
    books_are_right(till)


def test_a_declined_card_on_the_page_does_not_end_the_payment(till: Till) -> None:
    payment = till.buy(50, DECLINED)
    till.webhooks()
    payment.refresh_from_db()
    assert (payment.state, payment.failure_code) == ("processing", "generic_decline")
    till.provider.type_card(payment.page_url, ASKS_ALWAYS, bank="confirm")
    till.webhooks()
    payment.refresh_from_db()
    assert (payment.state, payment.failure_code) == ("succeeded", "")
    assert till.entries() == [("payment", 50 * DOLLAR)]
    books_are_right(till)


def test_a_page_that_nobody_paid_on_ends(till: Till) -> None:
    payment = till.begin(50)
    till.provider.stripe.v1.checkout.sessions.expire(str(payment.session_id))
    till.webhooks()
    payment.refresh_from_db()
    assert (payment.state, payment.check_at) == ("canceled", None)
    books_are_right(till)


def test_a_payment_whose_page_was_never_opened_ends(till: Till) -> None:
    till.begin(10)
    till.provider.control("/faults", kind="error", path="/v1/checkout/sessions", times=1)
    with pytest.raises(PaymentsUnavailableError):
        till.begin(50)
    payment = Payment.objects.get(amount_micros=50 * DOLLAR)
    assert payment.state == "created"
    till.later(minutes=3)
    services.payments_reconcile(now=till.now)
    payment.refresh_from_db()
    assert payment.state == "canceled"


def test_the_same_form_sent_twice_is_one_payment(till: Till) -> None:
    key = uuid4()
    first, second = till.begin(50, key), till.begin(50, key)
    assert (first.pk, first.page_url) == (second.pk, second.page_url)
    with pytest.raises(UnknownPaymentError):
        till.begin(60, key)
    assert BillingCustomer.objects.count() == Payment.objects.count() == 1


def test_an_answer_that_was_lost_is_fetched_with_the_same_key(till: Till) -> None:
    key = uuid4()
    till.provider.control("/faults", kind="lose_answer", path="/v1/customers", times=1)
    with pytest.raises(PaymentsUnavailableError):
        till.begin(50, key)
    till.provider.control("/faults", kind="lose_answer", path="/v1/checkout/sessions", times=1)
    with pytest.raises(PaymentsUnavailableError):
        till.begin(50, key)
    payment = till.begin(50, key)
    with till.provider.sandbox.store.transaction():
        assert len(till.provider.sandbox.store.newest("customer")) == 1
        assert [row["id"] for row in till.provider.sandbox.store.newest("checkout.session")] == [payment.session_id]


@pytest.mark.parametrize("micros", [0, -5 * DOLLAR, 4_990_000, 2_000_010_000, 5_000_001])
def test_amounts_outside_the_limits_are_refused(till: Till, micros: int) -> None:
    with pytest.raises(InvalidAmountError):
        services.purchase_begin(user=till.user, amount_micros=micros, key=uuid4(), back_url="http://b/", now=till.now)
    assert not Payment.objects.exists()


def test_what_was_paid_must_be_what_was_asked(till: Till) -> None:
    payment = till.buy(50)
    Payment.objects.filter(pk=payment.pk).update(amount_micros=60 * DOLLAR)
    till.webhooks()
    assert till.balance() == 0
    assert ProviderEvent.objects.exclude(error="").exists()
    Payment.objects.filter(pk=payment.pk).update(amount_micros=50 * DOLLAR)
    till.later(minutes=5)
    services.events_process(now=till.now)
    assert till.balance() == 50 * DOLLAR


def test_events_about_nothing_of_ours_are_ignored(till: Till) -> None:
    stranger = till.provider.stripe.v1.customers.create({"email": "x@example.com"})
    till.provider.stripe.v1.payment_intents.create({"amount": 500, "currency": "usd", "customer": stranger.id})
    till.webhooks()
    assert set(ProviderEvent.objects.values_list("state", flat=True)) == {"ignored"}


def test_a_card_type_of_two_payments(till: Till) -> None:
    till.buy(50)
    till.buy(20, GOOD)
    till.webhooks()
    assert sorted(till.entries()) == [("payment", 20 * DOLLAR), ("payment", 50 * DOLLAR)]
    books_are_right(till)
