"""Credit from client to client."""

from datetime import datetime, timedelta

import pytest

from billing import locks, services
from billing.domain.errors import (
    BillingError,
    IdempotencyConflictError,
    InsufficientCreditError,
    InvalidAmountError,
    SamePartyError,
    TransferNotAllowedError,
)
from billing.domain.periods import Month
from billing.models import Entry, EntryKind, LedgerAccount
from billing.selectors import balance_micros, ledger_check, month_statement, movements, zero_at
from billing.services import Transfer
from billing.services.transfers import REPEAT_WINDOW
from marketplace.models import Notice, User
from tests.billing.conftest import MakeUser
from tests.billing.ledger import postings_of
from tests.billing.opening import give, open_gpu
from tests.billing.racing import race

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
INSTANT = timedelta(microseconds=1)


@pytest.fixture
def ada(make_user: MakeUser, now: datetime) -> User:
    """Has ten dollars."""
    user = make_user("ada")
    give(user, 10_000_000, now - HOUR, key="ada")
    return user


@pytest.fixture
def bob(make_user: MakeUser) -> User:
    return make_user("bob")


def send(sender: User, recipient: User, now: datetime, micros: int = 4_000_000, key: str = "") -> Transfer:
    return services.credit_transfer(
        sender=sender, recipient=recipient, amount_micros=micros, now=now, idempotency_key=key
    )


def transfers() -> int:
    return Entry.objects.filter(kind=EntryKind.CREDIT_TRANSFER).count()


def test_both_see_it(ada: User, bob: User, now: datetime) -> None:
    transfer = send(ada, bob, now)
    assert transfer.repeated is False
    assert postings_of(transfer.entry) == {
        ("client_credit", "ada@example.com"): -4_000_000,
        ("client_credit", "bob@example.com"): 4_000_000,
    }
    assert (transfer.entry.actor_id, transfer.entry.occurred_at) == (ada.pk, now)
    assert (balance_micros(ada, now), balance_micros(bob, now)) == (6_000_000, 4_000_000)
    for user, amount in ((ada, -4_000_000), (bob, 4_000_000)):
        (row,) = month_statement(user, Month.of(now)).others
        assert (row.memo, row.amount_micros) == ("From ada@example.com to bob@example.com", amount)
        (moved,) = movements(user, now - INSTANT, now, kinds=[EntryKind.CREDIT_TRANSFER])
        assert moved.amount_micros == amount
    (told,) = Notice.objects.all()
    assert (told.client_id, told.subject) == (bob.pk, "You received $4.00 of credit")
    assert ledger_check(now) == []


@pytest.mark.parametrize(
    ("micros", "error"),
    [
        (0, InvalidAmountError),
        (-5_000_000, InvalidAmountError),
        (999_999, InvalidAmountError),
        (10**16, InvalidAmountError),
        (10_000_001, InsufficientCreditError),
    ],
)
def test_senseless_amounts_are_refused(
    ada: User, bob: User, now: datetime, micros: int, error: type[BillingError]
) -> None:
    with pytest.raises(error):
        send(ada, bob, now, micros)
    assert (balance_micros(ada, now), balance_micros(bob, now), transfers()) == (10_000_000, 0, 0)


def test_all_of_it_can_go_and_what_is_running_counts(ada: User, bob: User, host_user: User, now: datetime) -> None:
    """What a running meter has accrued by this instant is spent, to the micro-dollar."""
    open_gpu("instance:1:gpu", ada, host_user, now)
    with pytest.raises(InsufficientCreditError, match=r"9\.64 dollars"):
        send(ada, bob, now + HOUR, 9_640_001)
    send(ada, bob, now + HOUR, 9_640_000)
    assert balance_micros(ada, now + HOUR) == 0
    assert zero_at(ada) == now + HOUR


def test_credit_that_was_sent_does_not_wander_on(ada: User, bob: User, host_user: User, now: datetime) -> None:
    send(ada, bob, now)
    with pytest.raises(TransferNotAllowedError):
        send(bob, host_user, now, 1_000_000)
    give(bob, 1_000_000, now, key="bob")
    assert send(bob, host_user, now, 1_000_000).repeated is False


def test_not_to_oneself(ada: User, now: datetime) -> None:
    with pytest.raises(SamePartyError):
        send(ada, ada, now)


def test_the_same_request_soon_after_is_the_same_transfer(ada: User, bob: User, host_user: User, now: datetime) -> None:
    first = send(ada, bob, now)
    again = send(ada, bob, now + REPEAT_WINDOW - INSTANT)
    assert (again.entry.pk, again.repeated) == (first.entry.pk, True)
    assert send(ada, bob, now, 3_000_000).repeated is False
    assert send(ada, host_user, now, 3_000_000).repeated is False
    assert balance_micros(ada, now) == 0
    give(ada, 4_000_000, now, key="more")
    assert send(ada, bob, now + REPEAT_WINDOW).repeated is False
    assert transfers() == 4


def test_a_key_is_for_one_transfer_for_ever(ada: User, bob: User, host_user: User, now: datetime) -> None:
    first = send(ada, bob, now, key="k")
    again = send(ada, bob, now + timedelta(days=400), key="k")
    assert (again.entry.pk, again.repeated) == (first.entry.pk, True)
    assert send(ada, bob, now, key="other").repeated is False
    for recipient, micros in ((bob, 1_000_000), (host_user, 4_000_000)):
        with pytest.raises(IdempotencyConflictError):
            send(ada, recipient, now, micros, key="k")
    assert (balance_micros(ada, now), transfers()) == (2_000_000, 2)


@pytest.mark.django_db(transaction=True)
def test_a_doubled_request_sends_once(ada: User, bob: User, now: datetime) -> None:
    results = race(lambda: lock(ada), [lambda: send(ada, bob, now), lambda: send(ada, bob, now + INSTANT)])
    assert sorted(result.repeated for result in results) == [False, True]
    assert balance_micros(ada, now) == 6_000_000


@pytest.mark.django_db(transaction=True)
def test_two_requests_do_not_spend_the_same_credit(ada: User, bob: User, host_user: User, now: datetime) -> None:
    """Nor do two accounts that send to each other at once wait for each other for ever."""
    give(bob, 10_000_000, now, key="bob")
    results = race(
        lambda: lock(ada),
        [
            lambda: send(ada, bob, now, 8_000_000),
            lambda: send(ada, host_user, now, 8_000_000),
            lambda: send(bob, ada, now, 1_500_000),
        ],
    )
    refused = [result for result in results if isinstance(result, Exception)]
    assert [type(result) for result in refused] == [InsufficientCreditError]
    total = sum(balance_micros(user, now) for user in (ada, bob, host_user))
    assert total == 20_000_000
    assert balance_micros(ada, now) >= 0


def lock(user: User) -> list[LedgerAccount]:
    return locks.client_accounts([user.pk])
