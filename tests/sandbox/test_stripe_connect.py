"""The sandbox keeps to Stripe's rules for connected accounts, transfers and payouts."""

from typing import Any

import pytest
import requests
import stripe

from tests.plumbing.provider import Provider

TIMEOUT_SECONDS = 20


def account_of(provider: Provider, number: str = "") -> str:
    """The id of an Express account, set up with a bank account if there is a number."""
    wish: Any = {"type": "express", "capabilities": {"transfers": {"requested": True}}}
    account_id = provider.stripe.v1.accounts.create(wish).id
    if number:
        requests.post(
            link_of(provider, account_id), {"account_number": number}, timeout=TIMEOUT_SECONDS, allow_redirects=False
        )
    return account_id


def link_of(provider: Provider, account_id: str) -> str:
    wish: Any = {
        "account": account_id,
        "type": "account_onboarding",
        "refresh_url": "http://site/again",
        "return_url": "http://site/back",
    }
    return provider.stripe.v1.account_links.create(wish).url


def transfer(provider: Provider, account_id: str, cents: int = 500, **more: Any) -> Any:
    wish: Any = {"amount": cents, "currency": "usd", "destination": account_id, **more}
    return provider.stripe.v1.transfers.create(wish)


def refused(call: Any) -> str | None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        call()
    return refusal.value.code


def test_an_account_takes_transfers_once_it_is_set_up(provider: Provider) -> None:
    account_id = account_of(provider)
    assert refused(lambda: transfer(provider, account_id)) == "insufficient_capabilities_for_transfer"
    assert refused(lambda: transfer(provider, "acct_none")) == "resource_missing"
    page = link_of(provider, account_id)
    wrong = requests.post(page, {"account_number": "42"}, timeout=TIMEOUT_SECONDS)
    assert (wrong.status_code, "only the account numbers below work here" in wrong.text) == (422, True)
    requests.post(page, {"account_number": "000 123-456789"}, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    assert transfer(provider, account_id).reversed is False
    account = provider.stripe.v1.accounts.retrieve(account_id).to_dict()
    assert (account["payouts_enabled"], account["details_submitted"]) == (True, True)
    assert "_available" not in account


def test_a_link_is_good_once(provider: Provider) -> None:
    page = link_of(provider, account_of(provider))
    requests.post(page, {"account_number": "000123456789"}, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    again = requests.get(page, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    assert (again.status_code, again.headers["Location"]) == (303, "http://site/again")
    assert requests.get(f"{provider.url}/setup/e/link_none", timeout=TIMEOUT_SECONDS).status_code == 404


def test_payouts_are_of_the_account_and_no_more_than_it_has(provider: Provider) -> None:
    account_id = account_of(provider, "000123456789")
    transfer(provider, account_id, 500)
    wish: Any = {"amount": 501, "currency": "usd"}
    options: Any = {"stripe_account": account_id}
    payouts = provider.stripe.v1.payouts
    assert refused(lambda: payouts.create(wish, options)) == "balance_insufficient"
    payout = payouts.create(wish | {"amount": 500}, options)
    assert payout.status == "pending"
    assert payouts.retrieve(payout.id, options=options).status == "paid"
    assert refused(lambda: payouts.retrieve(payout.id)) == "resource_missing"
    assert refused(lambda: payouts.create(wish, options)) == "balance_insufficient"


def test_a_transfer_is_reversed_once_and_only_what_is_left_on_the_account(provider: Provider) -> None:
    account_id = account_of(provider, "000123456789")
    reversals = provider.stripe.v1.transfers.reversals
    first, second = transfer(provider, account_id, 500), transfer(provider, account_id, 300)
    reversals.create(first.id, {"amount": 200})
    assert provider.stripe.v1.transfers.retrieve(first.id).amount_reversed == 200
    reversals.create(first.id)
    assert provider.stripe.v1.transfers.retrieve(first.id).reversed
    assert refused(lambda: reversals.create(first.id)) is None
    options: Any = {"stripe_account": account_id}
    provider.stripe.v1.payouts.create({"amount": 300, "currency": "usd"}, options)
    assert refused(lambda: reversals.create(second.id)) == "balance_insufficient"


def test_transfers_are_found_by_their_group(provider: Provider) -> None:
    account_id = account_of(provider, "000123456789")
    wanted = transfer(provider, account_id, 100, transfer_group="g").id
    transfer(provider, account_id, 100)
    found = provider.stripe.v1.transfers.list({"transfer_group": "g"}).data
    assert [row.id for row in found] == [wanted]
