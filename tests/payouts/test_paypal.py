"""Payouts by PayPal, against a real local server that speaks its API and checks every request."""

from datetime import timedelta
from typing import Any

import pytest
import requests

from billing import services
from billing.domain.payouts import Order
from billing.gateways import carriers
from billing.gateways.carrier import RefusedError, UnknownOutcomeError
from billing.models import AccountKind, Payout
from billing.selectors import ledger_check
from marketplace.models import Notice, User
from tests.billing.weeks import FRIDAY, HOUR, WEEK
from tests.payouts.earning import DOLLAR, balance, clearing, earnings, pending, week_of
from tests.payouts.providers import RETURN_URL, Providers

pytestmark = pytest.mark.django_db

FEE = DOLLAR * 3 // 2
"""2 % of $75."""


@pytest.fixture
def payout(providers: Providers, host_user: User, client_user: User) -> Payout:
    """$75 for a host with a PayPal account, to be sent."""
    providers.paypal(host_user)
    return week_of(host_user, client_user, dollars=75)


def statuses(payout: Payout) -> tuple[str, str]:
    payout.refresh_from_db()
    return payout.state, payout.reason


def test_a_host_signs_in(providers: Providers, host_user: User) -> None:
    method = providers.paypal(host_user, "Hugo@Example.com")
    assert (method.provider, method.state, method.label) == ("paypal", "ready", "hugo@example.com")
    assert len(method.account_id) == 13
    assert Notice.objects.get().text == "Your earnings go to hugo@example.com from now on."


def test_an_account_that_is_not_confirmed(providers: Providers, host_user: User) -> None:
    method = providers.paypal(host_user, "unverified@example.com")
    assert (method.state, method.problem) == ("restricted", "Confirm your account at PayPal, then sign in again.")


def test_a_code_is_good_once(providers: Providers) -> None:
    page = carriers.paypal().sign_in_url(redirect_url=RETURN_URL, state="s")
    code = providers.submit(page, email="a@b.c", act="agree").partition("code=")[2].partition("&")[0]
    assert carriers.paypal().identity(code).label == "a@b.c"
    with pytest.raises(RefusedError, match="used before"):
        carriers.paypal().identity(code)
    assert "error=access_denied" in providers.submit(page, act="cancel")


def test_the_way_of_a_payout(providers: Providers, payout: Payout) -> None:
    assert services.payouts_send(now=FRIDAY + HOUR) == 1
    assert statuses(payout)[0] == "sent"
    assert (pending(), clearing("paypal")) == (0, 75 * DOLLAR)
    services.payouts_look(now=FRIDAY + 2 * HOUR)
    assert statuses(payout) == ("paid", "")
    batch, item = providers.objects("paypal_batch")[0], providers.objects("paypal_item")[0]
    assert (payout.transfer_id, payout.item_id, payout.fee_micros) == (batch["id"], item["id"], FEE)
    assert item["wish"] == {
        "recipient_type": "PAYPAL_ID",
        "receiver": payout.destination,
        "amount": {"value": "75.00", "currency": "USD"},
        "note": "Earnings to 2026-03-06",
        "sender_item_id": payout.key,
    }
    assert clearing("paypal") == 75 * DOLLAR + FEE
    assert balance(AccountKind.PLATFORM_FEES) == 25 * DOLLAR + 1 - FEE
    services.payouts_look(now=FRIDAY + 5 * timedelta(days=1))
    assert clearing("paypal") == 75 * DOLLAR + FEE
    assert ledger_check(FRIDAY) == []


@pytest.mark.parametrize("fate", ["FAILED", "RETURNED", "BLOCKED", "REFUNDED"])
def test_an_item_that_comes_back(providers: Providers, payout: Payout, host_user: User, fate: str) -> None:
    providers.control("/paypal/plan", next=[fate])
    services.payouts_send(now=FRIDAY + HOUR)
    services.payouts_look(now=FRIDAY + 2 * HOUR)
    assert statuses(payout)[0] == "returned"
    assert payout.reason
    assert (earnings(host_user), pending(), clearing("paypal")) == (75 * DOLLAR, 0, 0)
    assert Notice.objects.filter(kind="payout_returned").count() == 1


def test_an_unclaimed_item_waits_and_comes_back(providers: Providers, payout: Payout, host_user: User) -> None:
    providers.control("/paypal/plan", next=["UNCLAIMED"])
    services.payouts_send(now=FRIDAY)
    services.payouts_look(now=FRIDAY + HOUR)
    state, reason = statuses(payout)
    assert (state, reason.partition(":")[0]) == ("sent", "Waiting to be claimed")
    assert earnings(host_user) == 0
    providers.control(f"/paypal/items/{payout.item_id}/end", status="RETURNED")
    services.payouts_look(now=FRIDAY + 4 * WEEK)
    assert statuses(payout) == ("returned", "The recipient did not claim this payout within 30 days.")
    assert earnings(host_user) == 75 * DOLLAR


def test_what_was_paid_and_is_reversed_later(providers: Providers, payout: Payout, host_user: User) -> None:
    services.payouts_send(now=FRIDAY)
    services.payouts_look(now=FRIDAY + HOUR)
    providers.control(f"/paypal/items/{payout_item(payout)}/end", status="REFUNDED")
    services.payouts_look(now=FRIDAY + 26 * HOUR)
    assert statuses(payout)[0] == "returned"
    assert (earnings(host_user), clearing("paypal")) == (75 * DOLLAR, FEE)
    assert ledger_check(FRIDAY) == []


def payout_item(payout: Payout) -> str:
    payout.refresh_from_db()
    return payout.item_id


@pytest.mark.parametrize("kind", ["refuse", "error", "lose_answer"])
def test_no_answer(providers: Providers, payout: Payout, host_user: User, kind: str) -> None:
    """Asked again, PayPal says that it has the batch already, and which."""
    providers.go_wrong(kind, "/v1/payments/payouts")
    assert services.payouts_send(now=FRIDAY) == 0
    assert statuses(payout)[0] == "sending"
    assert services.payouts_send(now=FRIDAY + 5 * timedelta(minutes=1)) == 0
    assert services.payouts_send(now=FRIDAY + HOUR) == 1
    services.payouts_look(now=FRIDAY + 2 * HOUR)
    assert statuses(payout)[0] == "paid"
    assert len(providers.objects("paypal_batch")) == 1
    assert (earnings(host_user), pending(), clearing("paypal")) == (0, 0, 75 * DOLLAR + FEE)


def test_without_money_it_tries_later(providers: Providers, payout: Payout) -> None:
    providers.control("/paypal/plan", dollars="74.99")
    services.payouts_send(now=FRIDAY)
    state, reason = statuses(payout)
    assert (state, reason.partition(".")[0]) == ("created", "Sender does not have sufficient funds")
    providers.control("/paypal/plan", dollars="75.00")
    assert services.payouts_send(now=FRIDAY + HOUR) == 1


def test_a_receiver_that_cannot_be(providers: Providers, payout: Payout, host_user: User) -> None:
    Payout.objects.update(destination="hugo")
    services.payouts_send(now=FRIDAY)
    state, reason = statuses(payout)
    assert (state, "Receiver is invalid" in reason) == ("failed", True)
    assert (earnings(host_user), pending()) == (75 * DOLLAR, 0)
    assert providers.objects("paypal_batch") == []


def test_a_batch_of_someone_else_is_not_taken_for_ours(providers: Providers, payout: Payout) -> None:
    """The same key for another amount can't be ours: nothing is believed, staff see that it is late."""
    order = Order(payout.key, 1, 10 * DOLLAR, payout.destination, "x")
    carriers.paypal().send(order, again=False)
    assert services.payouts_send(now=FRIDAY) == 0
    assert statuses(payout) == (
        "sending",
        f"Batch {providers.objects('paypal_batch')[0]['id']} is not the payout {payout.key}.",
    )


def test_a_withdrawn_token_is_asked_for_again(providers: Providers, payout: Payout) -> None:
    services.payouts_send(now=FRIDAY)
    with providers.sandbox.store.transaction():
        for token in providers.sandbox.store.newest("paypal_token"):
            providers.sandbox.store.delete(token["id"])
    with pytest.raises(UnknownOutcomeError):
        carriers.paypal().look(payout.order, "x", "")
    services.payouts_look(now=FRIDAY + HOUR)
    assert statuses(payout)[0] == "paid"


BATCH: dict[str, Any] = {
    "sender_batch_header": {"sender_batch_id": "k", "email_subject": "s"},
    "items": [{"recipient_type": "EMAIL", "receiver": "a@b.co", "amount": {"value": "1.00", "currency": "USD"}}],
}


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"amount": {"value": "9,87", "currency": "USD"}}, "items[0].amount.value"),
        ({"amount": {"value": "9.87x", "currency": "USD"}}, "items[0].amount.value"),
        ({"amount": {"value": "-1.00", "currency": "USD"}}, "items[0].amount.value"),
        ({"amount": {"value": "1.001", "currency": "USD"}}, "items[0].amount.value"),
        ({"amount": {"value": "0.00", "currency": "USD"}}, "items[0].amount.value"),
        ({"amount": {"value": 1.0, "currency": "USD"}}, "items[0].amount.value"),
        ({"amount": {"value": "1.00", "currency": "usd"}}, "items[0].amount.currency"),
        ({"amount": {"value": "1.00"}}, "items[0].amount"),
        ({"recipient_type": "MAIL"}, "items[0].recipient_type"),
        ({"recipient_type": "PAYPAL_ID"}, "items[0].receiver"),
        ({"receiver": "a" * 128}, "items[0].receiver"),
        ({"sender_item_id": "a" * 64}, "items[0].sender_item_id"),
        ({"colour": "red"}, "items[0].colour"),
    ],
)
def test_the_server_refuses_what_paypal_does_not_document(
    providers: Providers, item: dict[str, object], field: str
) -> None:
    token = requests.post(
        f"{providers.url}/v1/oauth2/token",
        {"grant_type": "client_credentials"},
        auth=("paypal-sandbox", "paypal-sandbox-secret"),
        timeout=20,
    ).json()["access_token"]
    wish = {**BATCH, "items": [{**BATCH["items"][0], **item}]}
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.post(f"{providers.url}/v1/payments/payouts", json=wish, headers=headers, timeout=20)
    assert (answer.status_code, answer.json()["details"][0]["field"]) == (400, field)
