"""Payouts to banks in the US, against a real local server that speaks Stripe's API."""

from datetime import timedelta

import pytest

from billing import services
from billing.models import Payout, PayoutEvent
from billing.selectors import ledger_check
from marketplace.models import Notice, User
from tests.billing.weeks import FRIDAY, HOUR
from tests.payouts.earning import DOLLAR, clearing, earnings, pending, week_of
from tests.payouts.providers import CLOSED_BANK, Providers

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture
def payout(providers: Providers, host_user: User, client_user: User) -> Payout:
    """$75 for a host with a bank account, to be sent."""
    providers.bank(host_user)
    return week_of(host_user, client_user, dollars=75)


def test_a_host_sets_up_a_bank_account(providers: Providers, host_user: User) -> None:
    method = services.method_choose(host=host_user, country="US", now=FRIDAY)
    page = services.onboarding_url(method=method, refresh_url="https://a/again", return_url="https://a/back")
    assert providers.submit(page, act="later") == "https://a/back"
    services.method_refresh(method_id=method.pk, now=FRIDAY)
    method.refresh_from_db()
    assert (method.provider, method.state, method.problem) == ("stripe", "pending", "")
    method = providers.bank(host_user)
    assert (method.state, method.label) == ("ready", "STRIPE TEST BANK ••6789")
    account = providers.objects("account")
    assert [row["id"] for row in account] == [method.account_id]
    assert account[0]["settings"]["payouts"]["schedule"]["interval"] == "manual"
    assert Notice.objects.get().subject == "Payouts are set up"


def test_the_way_of_a_payout(providers: Providers, payout: Payout, host_user: User) -> None:
    assert (payout.state, payout.amount_micros, payout.invoice) == (
        "created",
        75 * DOLLAR,
        host_user.host_invoices.get(),
    )
    assert (earnings(host_user), pending()) == (0, 75 * DOLLAR)

    assert services.payouts_send(now=FRIDAY + HOUR) == 1
    payout.refresh_from_db()
    transfer, bank = providers.objects("transfer")[0], providers.objects("payout")[0]
    assert (payout.state, payout.transfer_id, payout.item_id) == ("sent", transfer["id"], bank["id"])
    assert (transfer["amount"], transfer["transfer_group"]) == (7500, payout.key)
    assert (bank["amount"], bank["metadata"]) == (7500, {"payout": payout.key})
    assert (pending(), clearing("stripe")) == (0, 75 * DOLLAR)

    assert services.payouts_send(now=FRIDAY + 2 * HOUR) == 0
    assert services.payouts_look(now=FRIDAY + 2 * HOUR) == 1
    payout.refresh_from_db()
    assert (payout.state, payout.ended_at) == ("paid", FRIDAY + 2 * HOUR)
    steps = PayoutEvent.objects.filter(payout=payout).order_by("pk").values_list("old_state", "new_state")
    assert list(steps) == [("", "created"), ("created", "sending"), ("sending", "sent"), ("sent", "paid")]
    assert Notice.objects.filter(kind="payout_sent").get().subject == "$75.00 on the way to you"
    assert ledger_check(FRIDAY + HOUR) == []


def test_a_bank_that_refuses_sends_the_money_back(providers: Providers, host_user: User, client_user: User) -> None:
    providers.bank(host_user, CLOSED_BANK)
    payout = week_of(host_user, client_user, dollars=20)
    services.payouts_send(now=FRIDAY + HOUR)
    services.payouts_look(now=FRIDAY + 2 * HOUR)
    payout.refresh_from_db()
    assert (payout.state, payout.reason) == ("returned", "The bank account has been closed.")
    assert (earnings(host_user), pending(), clearing("stripe")) == (20 * DOLLAR, 0, 0)
    assert providers.objects("transfer")[0]["reversed"]
    told = Notice.objects.filter(kind="payout_returned").get()
    assert "The bank account has been closed." in told.text
    assert services.payouts_create(now=FRIDAY + 3 * HOUR) == 0  # what came back waits for the next week
    assert ledger_check(FRIDAY + HOUR) == []


def test_a_transfer_that_is_reversed_after_all(providers: Providers, payout: Payout, host_user: User) -> None:
    services.payouts_send(now=FRIDAY + HOUR)
    services.payouts_look(now=FRIDAY + 2 * HOUR)
    payout.refresh_from_db()
    providers.control(f"/payouts/{payout.item_id}/end", failure_code="account_closed")
    providers.control(f"/transfers/{payout.transfer_id}/reverse")
    services.payouts_look(now=FRIDAY + 30 * HOUR)
    payout.refresh_from_db()
    assert payout.state == "returned"
    assert earnings(host_user) == 75 * DOLLAR


@pytest.mark.parametrize("kind", ["refuse", "error", "lose_answer"])
@pytest.mark.parametrize("path", ["/v1/transfers", "/v1/payouts"])
def test_no_answer(providers: Providers, payout: Payout, host_user: User, kind: str, path: str) -> None:
    """Whether it happened or not: nobody asks again before the lease is over, and then it has happened once."""
    providers.go_wrong(kind, path)
    assert services.payouts_send(now=FRIDAY) == 0
    payout.refresh_from_db()
    assert payout.state == "sending"
    assert services.payouts_send(now=FRIDAY + 9 * MINUTE) == 0
    assert services.payouts_send(now=FRIDAY + 10 * MINUTE) == 1
    services.payouts_look(now=FRIDAY + HOUR)
    payout.refresh_from_db()
    assert payout.state == "paid"
    assert len(providers.objects("transfer")) == len(providers.objects("payout")) == 1
    assert (earnings(host_user), pending(), clearing("stripe")) == (0, 0, 75 * DOLLAR)
    assert ledger_check(FRIDAY) == []


def test_a_platform_without_money_tries_later(providers: Providers, payout: Payout, host_user: User) -> None:
    providers.control("/stripe/platform", cents=7499)
    assert services.payouts_send(now=FRIDAY) == 0
    payout.refresh_from_db()
    assert (payout.state, payout.attempt, payout.next_at) == ("created", 2, FRIDAY + HOUR)
    assert "insufficient" in payout.reason
    assert (earnings(host_user), pending()) == (0, 75 * DOLLAR)
    providers.control("/stripe/platform", cents=7500)
    assert services.payouts_send(now=FRIDAY + 59 * MINUTE) == 0
    assert services.payout_retry(payout_id=payout.pk, now=FRIDAY + 59 * MINUTE)
    assert services.payouts_send(now=FRIDAY + 59 * MINUTE) == 1
    assert len(providers.objects("transfer")) == 1


def test_an_account_that_takes_nothing(providers: Providers, payout: Payout, host_user: User) -> None:
    providers.control(f"/accounts/{payout.destination}/restrict", reason="requirements.past_due")
    assert services.payouts_send(now=FRIDAY) == 0
    payout.refresh_from_db()
    assert payout.state == "failed"
    assert "capabilities" in payout.reason
    assert (earnings(host_user), pending()) == (75 * DOLLAR, 0)
    assert Notice.objects.filter(kind="payout_returned").count() == 1
    services.methods_refresh(now=FRIDAY + timedelta(days=1))
    host_user.payout_method.refresh_from_db()
    assert (host_user.payout_method.state, host_user.payout_method.problem) == ("restricted", "requirements.past_due")


def test_a_bank_that_is_gone_after_the_transfer(providers: Providers, payout: Payout, host_user: User) -> None:
    """The transfer went through, then the account was restricted: what was transferred is taken back."""
    providers.go_wrong("refuse", "/v1/payouts")
    services.payouts_send(now=FRIDAY)
    providers.control(f"/accounts/{payout.destination}/restrict", reason="rejected.fraud")
    services.payouts_send(now=FRIDAY + HOUR)
    payout.refresh_from_db()
    assert payout.state == "failed"
    assert (earnings(host_user), pending(), clearing("stripe")) == (75 * DOLLAR, 0, 0)
    assert providers.objects("transfer")[0]["reversed"]
