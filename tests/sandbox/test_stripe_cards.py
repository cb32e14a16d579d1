"""Cards in the sandbox: saved and charged through its hosted page and off session, refunded, disputed."""

from typing import Any

import pytest
import stripe

from tests.plumbing.provider import Provider

GOOD, DECLINED, LATER_DECLINED = "4242 4242 4242 4242", "4000000000000002", "4000000000000341"
ASKS_ONCE, ASKS_ALWAYS = "4000002500003155", "4000002760003184"


def customer(provider: Provider) -> str:
    return provider.stripe.v1.customers.create({"email": "a@example.com"}).id


def setup_page(provider: Provider, customer_id: str) -> str:
    session = provider.stripe.v1.checkout.sessions.create(
        {
            "mode": "setup",
            "currency": "usd",
            "customer": customer_id,
            "success_url": "http://site/?s={CHECKOUT_SESSION_ID}",
        }
    )
    assert session.url is not None
    return session.url


def payment_session(provider: Provider, customer_id: str, cents: int = 2000) -> stripe.checkout.Session:
    return provider.stripe.v1.checkout.sessions.create(
        {
            "mode": "payment",
            "customer": customer_id,
            "success_url": "http://site/done",
            "cancel_url": "http://site/back",
            "line_items": [
                {
                    "price_data": {"currency": "usd", "unit_amount": cents, "product_data": {"name": "Credit"}},
                    "quantity": 1,
                }
            ],
            "payment_intent_data": {"metadata": {"payment": "7"}},
        }
    )


def saved_card(provider: Provider, customer_id: str, number: str, **form: str) -> str:
    answer = provider.type_card(setup_page(provider, customer_id), number, **form)
    assert answer.status_code == 303, answer.text
    return str(provider.stripe.v1.payment_methods.list({"customer": customer_id, "type": "card"}).data[0].id)


def charge(provider: Provider, customer_id: str, method_id: str, cents: int = 1000) -> Any:
    return provider.stripe.v1.payment_intents.create(
        {
            "amount": cents,
            "currency": "usd",
            "customer": customer_id,
            "payment_method": method_id,
            "off_session": True,
            "confirm": True,
            "expand": ["latest_charge.balance_transaction"],
        }
    )


def kinds(provider: Provider) -> list[str]:
    return [str(event.type) for event in provider.stripe.v1.events.list({"limit": 100}).data][::-1]


def test_a_saved_card_is_charged_off_session(provider: Provider) -> None:
    customer_id = customer(provider)
    method_id = saved_card(provider, customer_id, GOOD)
    intent = charge(provider, customer_id, method_id)
    assert (intent.status, intent.amount_received) == ("succeeded", 1000)
    assert intent.latest_charge.balance_transaction.fee == 59
    provider.stripe.v1.payment_methods.detach(method_id)
    assert provider.stripe.v1.payment_methods.list({"customer": customer_id}).data == []
    with pytest.raises(stripe.InvalidRequestError):
        charge(provider, customer_id, method_id)


def test_a_card_that_is_declined_later(provider: Provider) -> None:
    customer_id = customer(provider)
    method_id = saved_card(provider, customer_id, LATER_DECLINED)
    with pytest.raises(stripe.CardError) as refused:
        charge(provider, customer_id, method_id)
    assert (refused.value.code, refused.value.http_status) == ("card_declined", 402)
    assert kinds(provider)[-2:] == ["charge.failed", "payment_intent.payment_failed"]


def test_three_d_secure_off_session(provider: Provider) -> None:
    customer_id = customer(provider)
    once = saved_card(provider, customer_id, ASKS_ONCE, bank="confirm")
    assert charge(provider, customer_id, once).status == "succeeded"
    always = saved_card(provider, customer_id, ASKS_ALWAYS, bank="confirm")
    with pytest.raises(stripe.CardError) as refused:
        charge(provider, customer_id, always)
    assert refused.value.code == "authentication_required"


def test_the_page_asks_again_until_the_card_fits(provider: Provider) -> None:
    session = payment_session(provider, customer(provider))
    assert session.url is not None
    page = session.url
    assert provider.type_card(page, "4111111111111111").status_code == 422
    assert provider.type_card(page, GOOD, expiry="12 / 20").status_code == 422
    assert provider.type_card(page, DECLINED).status_code == 402
    asked = provider.type_card(page, ASKS_ALWAYS)
    assert "Complete authentication" in asked.text
    assert provider.type_card(page, ASKS_ALWAYS, bank="refuse").status_code == 402
    done = provider.type_card(page, ASKS_ALWAYS, bank="confirm")
    assert (done.status_code, done.headers["location"]) == (303, "http://site/done")
    paid = provider.stripe.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert (paid.status, paid.payment_status) == ("complete", "paid")
    assert isinstance(paid.payment_intent, stripe.PaymentIntent)
    assert (paid.payment_intent.amount, paid.payment_intent.metadata["payment"]) == (2000, "7")
    assert kinds(provider).count("payment_intent.succeeded") == 1
    assert "done already" in provider.type_card(page, GOOD).text


def test_a_session_expires(provider: Provider) -> None:
    session = payment_session(provider, customer(provider))
    provider.stripe.v1.checkout.sessions.expire(session.id)
    assert provider.stripe.v1.checkout.sessions.retrieve(session.id).status == "expired"
    assert kinds(provider)[-1] == "checkout.session.expired"


def test_refunds_are_limited_by_what_was_paid(provider: Provider) -> None:
    customer_id = customer(provider)
    intent = charge(provider, customer_id, saved_card(provider, customer_id, GOOD))
    first = provider.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": 300})
    with pytest.raises(stripe.InvalidRequestError):
        provider.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": 701})
    assert provider.stripe.v1.refunds.create({"payment_intent": intent.id}).amount == 700
    with pytest.raises(stripe.InvalidRequestError):
        provider.stripe.v1.refunds.create({"payment_intent": intent.id})
    assert provider.control(f"/refunds/{first.id}/fail")["status"] == "failed"
    assert provider.stripe.v1.charges.retrieve(intent.latest_charge.id).amount_refunded == 700


def test_disputes_take_the_money_and_give_it_back_when_won(provider: Provider) -> None:
    customer_id = customer(provider)
    intent = charge(provider, customer_id, saved_card(provider, customer_id, GOOD))
    dispute_id = provider.control(f"/payment_intents/{intent.id}/dispute")["id"]
    with pytest.raises(stripe.InvalidRequestError):
        provider.stripe.v1.refunds.create({"payment_intent": intent.id})
    provider.control(f"/disputes/{dispute_id}/close", status="won")
    (dispute,) = provider.stripe.v1.disputes.list({"payment_intent": intent.id}).data
    assert [(row.amount, row.fee) for row in dispute.balance_transactions] == [(-1000, 1500), (1000, 0)]
    assert kinds(provider)[-4:] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
    ]
