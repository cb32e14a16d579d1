"""How much a client may spend an hour: a floor for all, more with a history, whatever staff say."""

from datetime import datetime, timedelta

import pytest

from billing import services
from billing.domain.entries import EntryDraft, Line
from billing.domain.spend_limit import History, spend_limit_micros
from billing.models import AccountKind, AccountTerms, LedgerAccount
from billing.selectors import client_spend_limit_micros, ledger_check
from billing.services.accounts import system_account_id
from billing.services.ledger import entries_post
from marketplace.models import User
from tests.billing.ledger import account
from tests.billing.opening import give, open_gpu

HOUR = timedelta(hours=1)
DOLLAR = 1_000_000


@pytest.mark.parametrize(
    ("granted", "used", "balance", "limit"),
    [
        (0, 0, 0, 2),
        (0, 0, 500, 2),  # paid in today, used nothing
        (0, 2, 500, 2),
        (0, 7, 500, 7),
        (0, 7, -3, 4),  # a part of its use is not paid for
        (0, 7, -9, 2),
        (20, 0, 20, 20),
        (20, 30, 5, 30),
        (20, 30, -15, 20),
    ],
)
def test_the_limit_is_what_was_used_and_paid_for_or_given(granted: int, used: int, balance: int, limit: int) -> None:
    history = History(granted * DOLLAR, used * DOLLAR, balance * DOLLAR)
    assert spend_limit_micros(history, 2 * DOLLAR) == limit * DOLLAR


def pay(user: User, micros: int, now: datetime, key: str) -> None:
    """As a processor's confirmation is posted; taken back when negative."""
    services.accounts_lock(payer_ids=[user.pk])
    clearing = system_account_id(AccountKind.PROCESSOR_CLEARING, "stripe")
    mine = account(AccountKind.CLIENT_CREDIT, user).pk
    kind = "payment" if micros > 0 else "dispute"
    lines = (Line(mine, micros), Line(clearing, -micros))
    entries_post([EntryDraft(idempotency_key=key, kind=kind, memo=kind, occurred_at=now, lines=lines)])


@pytest.mark.django_db
def test_money_that_came_in_counts_once_it_is_used_and_while_it_stays(
    client_user: User, host_user: User, now: datetime
) -> None:
    assert client_spend_limit_micros(client_user) == 2 * DOLLAR
    pay(client_user, 100 * DOLLAR, now, "pay")
    assert client_spend_limit_micros(client_user) == 2 * DOLLAR
    open_gpu("instance:1:gpu", client_user, host_user, now, rate_micros_per_hour=2 * DOLLAR)
    services.settle_running(now=now + 4 * HOUR)
    assert client_spend_limit_micros(client_user) == 8 * DOLLAR
    pay(client_user, -98 * DOLLAR, now + 4 * HOUR, "dispute")
    assert client_spend_limit_micros(client_user) == 2 * DOLLAR


@pytest.mark.django_db
def test_what_staff_give_counts_at_once(client_user: User, now: datetime) -> None:
    give(client_user, 30 * DOLLAR, now)
    give(client_user, 30 * DOLLAR, now)  # doubled
    give(client_user, 5 * DOLLAR, now, key="more")
    assert client_spend_limit_micros(client_user) == 35 * DOLLAR
    assert ledger_check(now) == []
    LedgerAccount.objects.filter(owner=client_user).update(granted_micros=36 * DOLLAR)
    assert [item.code for item in ledger_check(now)] == ["grants_wrong"]


@pytest.mark.django_db
def test_staff_have_the_last_word(client_user: User, now: datetime) -> None:
    give(client_user, 30 * DOLLAR, now)
    terms = AccountTerms.objects.create(owner=client_user)
    assert client_spend_limit_micros(client_user) == 30 * DOLLAR
    terms.spend_limit_micros_per_hour = 0
    terms.save()
    assert client_spend_limit_micros(client_user) == 0
