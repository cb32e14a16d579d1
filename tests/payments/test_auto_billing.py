"""Auto-billing: charged at the right instant, one at a time, tried again, and turned off in the end."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
import requests
from django.db import IntegrityError, transaction

from billing import selectors, services
from billing.domain.errors import InvalidAmountError, NoCardError
from billing.domain.payment_states import IN_FLIGHT
from billing.models import AutoBilling, Card, LedgerAccount, Payment, PaymentPurpose
from billing.services.payment_rows import payment_make
from marketplace.models import User
from tests.billing.opening import give, open_gpu
from tests.payments.till import ASKS_ALWAYS, ASKS_ONCE, DOLLAR, LATER_DECLINED, Till, books_are_right

pytestmark = pytest.mark.django_db


@pytest.fixture
def host() -> User:
    return User.objects.create(email="host@example.com")


def terms(till: Till) -> AutoBilling:
    return AutoBilling.objects.get(owner=till.user)


def threshold_at(till: Till) -> datetime | None:
    return LedgerAccount.objects.get(kind="client_credit", owner=till.user).threshold_at


def spend(till: Till, host: User, dollars_per_hour: int = 1) -> None:
    rate = dollars_per_hour * DOLLAR
    open_gpu(f"m{till.now.timestamp()}", till.user, host, till.now, rate_micros_per_hour=rate)


def last(till: Till) -> Payment:
    return Payment.objects.filter(owner=till.user).order_by("-pk")[0]


def test_a_card_is_saved(till: Till) -> None:
    card = till.save_card(ASKS_ONCE)
    assert (card.brand, card.last4, card.is_default, card.removed_at) == ("visa", "3155", True, None)


def test_the_newest_card_is_charged_until_another_is_chosen(till: Till) -> None:
    first, second = till.save_card(), till.save_card(ASKS_ONCE)
    assert [card.pk for card in selectors.cards_of(till.user)] == [second.pk, first.pk]
    services.card_make_default(user=till.user, card_id=first.pk)
    assert selectors.default_card(till.user) == first
    services.card_remove(user=till.user, card_id=first.pk, now=till.now)
    assert selectors.default_card(till.user) == second


def test_the_card_is_charged_at_the_very_instant(till: Till, host: User) -> None:
    till.save_card()
    give(till.user, 10 * DOLLAR, till.now)
    till.auto_billing(threshold=5, amount=20)
    spend(till, host)
    begun = till.now
    due = threshold_at(till)
    # 5 dollars and a micro-dollar at a dollar an hour.
    assert due == begun + timedelta(hours=5, microseconds=3600)
    till.at(due - timedelta(microseconds=1))
    assert till.charge_due() == 0
    till.at(due)
    assert till.balance() == 5 * DOLLAR - 1
    assert till.charge_due() == 1
    assert till.charge_due() == 0
    assert till.balance() == 5 * DOLLAR - 1
    till.webhooks()
    assert till.balance() == 25 * DOLLAR - 1
    assert till.charges() == [(2000, "succeeded")]
    assert threshold_at(till) == due + timedelta(hours=20)
    books_are_right(till)


def test_turned_on_under_the_threshold_it_charges_at_once(till: Till) -> None:
    till.save_card()
    till.auto_billing(threshold=5, amount=20)
    assert till.charge_due() == 1
    till.webhooks()
    assert till.balance() == 20 * DOLLAR
    assert threshold_at(till) is None
    assert till.charge_due() == 0


def test_topping_up_charges_what_is_missing(till: Till) -> None:
    till.save_card()
    give(till.user, 3_123_456, till.now)
    till.auto_billing(threshold=5, amount=20, mode="top_up")
    till.charge_due()
    till.webhooks()
    assert till.charges() == [(1688, "succeeded")]
    assert till.balance() == 3_123_456 + 16_880_000


def test_nobody_is_charged_without_agreement_or_card(till: Till) -> None:
    with pytest.raises(NoCardError):
        till.auto_billing()
    with pytest.raises(InvalidAmountError):
        till.auto_billing(amount=4, enabled=False)
    with pytest.raises(InvalidAmountError):
        till.auto_billing(threshold=2_001, enabled=False)
    card = till.save_card()
    till.auto_billing(enabled=False)
    assert till.charge_due() == 0
    till.auto_billing()
    services.card_remove(user=till.user, card_id=card.pk, now=till.now)
    assert till.charge_due() == 0
    assert (terms(till).enabled, terms(till).off_reason) == (False, "no_card")
    assert till.told() == ["auto_billing_off"]
    assert till.charges() == []


def test_a_refused_card_is_tried_again_and_then_no_more(till: Till) -> None:
    till.save_card(LATER_DECLINED)
    till.auto_billing()
    for failures, wait in ((1, 1), (2, 6), (3, 24)):
        assert till.charge_due() == 1
        till.webhooks()
        assert (terms(till).failures, terms(till).next_attempt_at) == (failures, till.now + timedelta(hours=wait))
        till.later(hours=wait, microseconds=-1)
        assert till.charge_due() == 0
        till.later(microseconds=1)
    assert till.charge_due() == 1
    till.webhooks()
    assert (terms(till).enabled, terms(till).off_reason) == (False, "declined")
    till.later(days=30)
    assert till.charge_due() == 0
    assert till.told() == ["payment_failed"] * 4 + ["auto_billing_off"]
    assert till.charges() == [(2000, "failed")] * 4
    assert till.balance() == 0
    books_are_right(till)


def test_another_card_is_tried_at_once(till: Till) -> None:
    till.save_card(LATER_DECLINED)
    till.auto_billing()
    till.charge_due()
    till.webhooks()
    till.save_card()
    assert (terms(till).failures, terms(till).next_attempt_at) == (0, None)
    assert till.charge_due() == 1
    till.webhooks()
    assert till.balance() == 20 * DOLLAR


def test_success_forgets_the_refusals(till: Till) -> None:
    card = till.save_card(LATER_DECLINED)
    till.auto_billing()
    till.charge_due()
    till.becomes(card, "4242424242424242")
    till.later(hours=1)
    till.charge_due()
    till.webhooks()
    assert (terms(till).failures, terms(till).next_attempt_at) == (0, None)
    assert till.balance() == 20 * DOLLAR


def test_a_bank_that_asks_leads_to_a_payment_in_person(till: Till) -> None:
    till.save_card(ASKS_ALWAYS)
    till.auto_billing()
    till.charge_due()
    till.webhooks()
    waiting = last(till)
    assert (waiting.state, waiting.failure_code) == ("action_required", "authentication_required")
    assert till.told() == ["payment_action"]
    payment = services.confirmation_begin(user=till.user, payment_id=waiting.pk, back_url="http://b/", now=till.now)
    assert payment.amount_micros == waiting.amount_micros
    till.provider.type_card(payment.page_url, ASKS_ALWAYS, bank="confirm")
    till.webhooks()
    waiting.refresh_from_db()
    assert waiting.state == "canceled"
    assert till.entries() == [("payment", 20 * DOLLAR)]
    assert (terms(till).failures, till.charge_due()) == (0, 0)
    books_are_right(till)


def test_a_card_that_was_confirmed_when_saved_is_charged(till: Till) -> None:
    till.save_card(ASKS_ONCE)
    till.auto_billing()
    till.charge_due()
    till.webhooks()
    assert till.balance() == 20 * DOLLAR


@pytest.mark.parametrize("kind", ["lose_answer", "refuse", "error"])
def test_a_charge_whose_answer_is_lost_is_made_once(till: Till, kind: str) -> None:
    till.save_card()
    till.auto_billing()
    till.provider.control("/faults", kind=kind, path="/v1/payment_intents", times=1)
    assert till.charge_due() == 0
    till.lose_webhooks()
    assert (last(till).state, last(till).intent_id) == ("processing", None)
    assert till.charge_due() == 0
    till.later(minutes=2)
    services.payments_reconcile(now=till.now)
    assert till.charges() == [(2000, "succeeded")]
    assert till.entries() == [("payment", 20 * DOLLAR)]
    books_are_right(till)


def test_a_charge_that_is_too_old_to_be_repeated_is_looked_for(till: Till) -> None:
    till.save_card()
    till.auto_billing()
    till.provider.control("/faults", kind="lose_answer", path="/v1/payment_intents", times=1)
    till.charge_due()
    till.lose_webhooks()
    till.later(hours=21)
    services.payments_reconcile(now=till.now)
    assert till.charges() == [(2000, "succeeded")]
    assert till.entries() == [("payment", 20 * DOLLAR)]


def test_a_charge_that_never_arrived_is_given_up_when_it_is_too_old(till: Till) -> None:
    till.save_card()
    till.auto_billing()
    till.provider.control("/faults", kind="refuse", path="/v1/payment_intents", times=1)
    till.charge_due()
    till.later(hours=21)
    services.payments_reconcile(now=till.now)
    assert (last(till).state, till.charges()) == ("canceled", [])
    assert till.charge_due() == 1


def test_a_refusal_whose_answer_is_lost_counts_once(till: Till) -> None:
    till.save_card(LATER_DECLINED)
    till.auto_billing()
    till.provider.control("/faults", kind="lose_answer", path="/v1/payment_intents", times=1)
    till.charge_due()
    till.webhooks()
    till.later(minutes=2)
    services.payments_reconcile(now=till.now)
    assert (last(till).state, terms(till).failures) == ("failed", 1)
    assert till.charges() == [(2000, "failed")]


def test_a_card_that_the_provider_forgot_counts_as_refused(till: Till) -> None:
    card = till.save_card()
    till.auto_billing()
    till.provider.stripe.v1.payment_methods.detach(card.provider_id)
    till.lose_webhooks()
    till.charge_due()
    assert (last(till).state, terms(till).failures) == ("failed", 1)


def test_the_provider_being_away_is_no_refusal(till: Till) -> None:
    till.save_card()
    till.auto_billing()
    till.provider.control("/faults", kind="error", path="/v1/", times=100)
    till.charge_due()
    for _ in range(3):
        till.later(hours=1)
        services.payments_reconcile(now=till.now)
    assert terms(till).failures == 0
    requests.delete(f"{till.provider.url}/_sandbox/faults", timeout=20)
    till.later(hours=1)
    services.payments_reconcile(now=till.now)
    assert till.balance() == 20 * DOLLAR


def test_the_database_refuses_a_second_charge_in_flight(till: Till) -> None:
    till.save_card()
    till.auto_billing()
    till.charge_due()
    card = Card.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        payment_make(
            owner_id=till.user.pk,
            key=uuid4(),
            purpose=PaymentPurpose.AUTO,
            amount_micros=DOLLAR,
            card=card,
            now=till.now,
        )
    assert Payment.objects.filter(state__in=IN_FLIGHT).count() == 1
