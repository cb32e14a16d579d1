"""Checkpoints: balances stay right and cheap, whatever order transactions commit in."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from billing import locks, services
from billing.domain.errors import LedgerBusyError
from billing.models import AccountKind, CheckpointRun, LedgerAccount, Posting
from billing.selectors import balance_micros, ledger_check
from marketplace.models import User
from tests.billing.ledger import account, posted_micros
from tests.billing.opening import give, open_gpu
from tests.billing.racing import elsewhere


def grant(user: User, key: str, now: datetime) -> None:
    give(user, 1_000_000, now, key)


@pytest.mark.django_db
def test_a_checkpoint_moves_every_account_with_postings_and_no_balance(client_user: User, now: datetime) -> None:
    for number in range(3):
        grant(client_user, str(number), now)
    assert services.checkpoint_accounts(now=now) == 2
    assert account(AccountKind.CLIENT_CREDIT, client_user).checkpoint_micros == 3_000_000
    assert balance_micros(client_user, now) == 3_000_000
    grant(client_user, "more", now)
    assert balance_micros(client_user, now) == 4_000_000
    assert ledger_check(now) == []


@pytest.mark.django_db
def test_a_second_checkpoint_has_nothing_to_do(client_user: User, now: datetime) -> None:
    grant(client_user, "1", now)
    services.checkpoint_accounts(now=now)
    assert services.checkpoint_accounts(now=now + timedelta(hours=1)) == 0
    assert CheckpointRun.objects.count() == 1


@pytest.mark.django_db
def test_a_run_that_stopped_half_way_is_completed(
    client_user: User, host_user: User, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant(client_user, "1", now)
    grant(host_user, "2", now)
    monkeypatch.setattr("billing.services.checkpoints.ACCOUNTS_PER_BATCH", 1)
    lock, calls = locks.accounts, 0

    def crash_on_the_second(account_ids: Any) -> list[LedgerAccount]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return lock(account_ids)

    monkeypatch.setattr("billing.locks.accounts", crash_on_the_second)
    with pytest.raises(KeyboardInterrupt):
        services.checkpoint_accounts(now=now)
    assert LedgerAccount.objects.filter(checkpoint_posting_id__gt=0).count() == 1
    assert ledger_check(now) == []
    assert services.checkpoint_accounts(now=now) == 2
    assert not LedgerAccount.objects.filter(checkpoint_posting_id=0).exists()
    assert ledger_check(now) == []


@pytest.mark.django_db
def test_reading_a_balance_is_one_query_however_many_meters(client_user: User, host_user: User, now: datetime) -> None:
    grant(client_user, "1", now)
    for number in range(5):
        open_gpu(str(number), client_user, host_user, now, rate_micros_per_hour=3_600)
    with CaptureQueriesContext(connection) as queries:
        assert balance_micros(client_user, now + timedelta(seconds=1)) == 1_000_000 - 5
    assert len(queries) == 1


@pytest.mark.django_db(transaction=True)
def test_a_checkpoint_waits_for_postings_in_flight(
    client_user: User, host_user: User, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lower ids commit after the higher ones: a checkpoint taken between would lose them."""
    monkeypatch.setattr("billing.locks.HORIZON_WAIT_MS", 20)
    services.accounts_lock(payer_ids=[client_user.pk])
    grant(host_user, "first", now)
    with transaction.atomic():
        grant(client_user, "slow", now)
        mine = Posting.objects.latest("pk").pk
        elsewhere(lambda: grant(host_user, "quick", now))
        assert elsewhere(lambda: Posting.objects.latest("pk").pk) > mine
        with pytest.raises(LedgerBusyError):
            elsewhere(lambda: services.checkpoint_accounts(now=now))
        elsewhere(lambda: grant(host_user, "quick too", now))
    services.checkpoint_accounts(now=now)
    for user in (client_user, host_user):
        credit = account(AccountKind.CLIENT_CREDIT, user)
        assert credit.checkpoint_micros == posted_micros(AccountKind.CLIENT_CREDIT, user)
    assert balance_micros(client_user, now) == 1_000_000
    assert balance_micros(host_user, now) == 3_000_000
    assert ledger_check(now) == []
