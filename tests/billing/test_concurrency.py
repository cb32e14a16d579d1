"""Two at once, on real connections."""

from datetime import datetime, timedelta

import pytest
from django.db import transaction

from billing import locks, services
from billing.domain.errors import IdempotencyConflictError, MeterExistsError
from billing.models import AccountKind, Entry, EntryKind, LedgerAccount, Meter
from billing.selectors import balance_micros, ledger_check, zero_at
from marketplace.models import User
from tests.billing.ledger import meter, posted_micros
from tests.billing.opening import open_gpu
from tests.billing.racing import elsewhere, race

pytestmark = pytest.mark.django_db(transaction=True)


def grant(user: User, amount_micros: int, now: datetime) -> Entry:
    return services.credit_grant(
        user=user, amount_micros=amount_micros, actor=None, reason="gift", idempotency_key="same", now=now
    )


def test_two_settlers_bill_once(client_user: User, host_user: User, now: datetime) -> None:
    open_gpu("m", client_user, host_user, now)
    hour = now + timedelta(hours=1)
    counts = race(
        lambda: locks.client_accounts([client_user.pk]),
        [lambda: services.settle_running(now=hour), lambda: services.settle_running(now=hour)],
    )
    assert sorted(counts) == [0, 1]
    assert posted_micros(AccountKind.CLIENT_CREDIT, client_user) == -360_000
    assert ledger_check(hour) == []


def test_pause_against_settlement(client_user: User, host_user: User, now: datetime) -> None:
    """Whichever comes first, the hour is charged up to the pause, or up to the settlement that was posted."""
    open_gpu("m", client_user, host_user, now)
    hour = now + timedelta(hours=1)
    race(
        lambda: locks.client_accounts([client_user.pk]),
        [
            lambda: services.settle_running(now=hour),
            lambda: services.meter_pause(reference="m", at=hour - timedelta(seconds=30)),
        ],
    )
    assert meter("m").running_since is None
    assert posted_micros(AccountKind.CLIENT_CREDIT, client_user) in (-360_000, -357_000)
    assert balance_micros(client_user, hour) == posted_micros(AccountKind.CLIENT_CREDIT, client_user)
    assert ledger_check(hour) == []


def test_a_repeated_grant_racing_itself_gives_once(client_user: User, now: datetime) -> None:
    services.accounts_lock(payer_ids=[client_user.pk])
    first, second = race(
        lambda: locks.client_accounts([client_user.pk]),
        [lambda: grant(client_user, 5_000_000, now), lambda: grant(client_user, 5_000_000, now)],
    )
    assert first.pk == second.pk
    assert balance_micros(client_user, now) == 5_000_000


def test_one_key_for_two_accounts_racing_gives_one_of_them(client_user: User, host_user: User, now: datetime) -> None:
    """Their accounts are different locks; the unique key decides."""
    services.accounts_lock(payer_ids=[client_user.pk, host_user.pk])
    results = race(
        lambda: locks.client_accounts([client_user.pk, host_user.pk]),
        [lambda: grant(client_user, 5_000_000, now), lambda: grant(host_user, 5_000_000, now)],
    )
    assert {type(result) for result in results} == {Entry, IdempotencyConflictError}
    assert balance_micros(client_user, now) + balance_micros(host_user, now) == 5_000_000


def test_one_reference_opened_twice_is_opened_once(client_user: User, host_user: User, now: datetime) -> None:
    services.accounts_lock(payer_ids=[client_user.pk])
    results = race(
        lambda: locks.client_accounts([client_user.pk]),
        [lambda: open_gpu("m", client_user, host_user, now), lambda: open_gpu("m", client_user, host_user, now)],
    )
    assert {type(result) for result in results} == {Meter, MeterExistsError}
    assert Meter.objects.count() == 1


def test_a_grant_and_a_start_agree_on_the_end_of_credit(client_user: User, host_user: User, now: datetime) -> None:
    services.accounts_lock(payer_ids=[client_user.pk])
    race(
        lambda: locks.client_accounts([client_user.pk]),
        [lambda: grant(client_user, 720_000, now), lambda: open_gpu("m", client_user, host_user, now)],
    )
    assert zero_at(client_user) == now + timedelta(hours=2)


def test_settling_does_not_wait_for_the_accounts_of_host_and_platform(
    client_user: User, host_user: User, now: datetime
) -> None:
    """They are locked here as a checkpoint locks them; the settlement goes through all the same."""
    open_gpu("m", client_user, host_user, now)
    services.settle_running(now=now + timedelta(hours=1))
    others = LedgerAccount.objects.exclude(kind=AccountKind.CLIENT_CREDIT).values_list("pk", flat=True)

    with transaction.atomic():
        assert len(locks.accounts(list(others))) == 2
        assert elsewhere(lambda: services.settle_running(now=now + timedelta(hours=2))) == 1
    assert Entry.objects.filter(kind=EntryKind.USAGE).count() == 2
