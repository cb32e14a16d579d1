"""What the database refuses by itself, from raw SQL too."""

from datetime import datetime

import pytest
from django.core.management import call_command
from django.db import DataError, IntegrityError, connection, transaction

from billing import services
from billing.models import AccountKind, Entry, LedgerAccount, Posting
from billing.services.accounts import system_account_id
from marketplace.models import User

pytestmark = pytest.mark.django_db(transaction=True)

ENTRY = (
    "INSERT INTO billing_entry (idempotency_key, kind, memo, occurred_at, details)"
    " VALUES (%s, 'credit_grant', '', now(), '{}') RETURNING id"
)
POSTING = "INSERT INTO billing_posting (entry_id, account_id, amount_micros, occurred_at) VALUES (%s, %s, %s, now())"


def execute(sql: str, *parameters: int | str) -> int:
    """Runs a statement; what it returned, or 0."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.fetchone()[0]) if cursor.description else 0


@pytest.fixture
def grant(client_user: User, now: datetime) -> Entry:
    return services.credit_grant(
        user=client_user, amount_micros=5, actor=None, reason="gift", idempotency_key="k", now=now
    )


@pytest.fixture
def account_ids() -> tuple[int, int]:
    return system_account_id(AccountKind.ADJUSTMENTS), system_account_id(AccountKind.REFUNDS)


@transaction.atomic
def insert_entry(account_ids: tuple[int, int], amounts: tuple[int, int]) -> None:
    """Each statement succeeds; it is the commit that may be refused."""
    insert_postings(execute(ENTRY, "k"), account_ids, amounts)
    assert Posting.objects.count() == 2


@transaction.atomic
def insert_postings(entry_id: int, account_ids: tuple[int, int], amounts: tuple[int, int]) -> None:
    for account_id, amount_micros in zip(account_ids, amounts, strict=True):
        execute(POSTING, entry_id, account_id, amount_micros)


def test_an_unbalanced_entry_is_refused_at_commit(account_ids: tuple[int, int]) -> None:
    with pytest.raises(IntegrityError, match="does not balance: its postings sum to 1 micro"):
        insert_entry(account_ids, (-4, 5))
    assert not Entry.objects.exists()
    assert not Posting.objects.exists()


def test_a_balanced_entry_may_pass_through_imbalance(account_ids: tuple[int, int]) -> None:
    insert_entry(account_ids, (-5, 5))
    assert Posting.objects.count() == 2


def test_an_entry_without_postings_is_refused() -> None:
    with pytest.raises(IntegrityError, match="has no postings"):
        execute(ENTRY, "k")


def test_a_posting_cannot_be_added_to_an_old_entry(grant: Entry, account_ids: tuple[int, int]) -> None:
    with pytest.raises(IntegrityError, match="does not balance"):
        execute(POSTING, grant.pk, account_ids[1], 1)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_entry SET memo = 'other'",
        "DELETE FROM billing_entry",
        "UPDATE billing_posting SET amount_micros = amount_micros * 2",
        "DELETE FROM billing_posting",
    ],
)
@pytest.mark.usefixtures("grant")
def test_entries_and_postings_are_never_changed(sql: str) -> None:
    with pytest.raises(IntegrityError, match="append-only"):
        execute(sql)
    assert set(Posting.objects.values_list("amount_micros", flat=True)) == {5, -5}


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO billing_ledgeraccount (kind, reference, checkpoint_micros, checkpoint_posting_id, created_at)"
        " VALUES ('piggy_bank', '', 0, 0, now())",
        "INSERT INTO billing_ledgeraccount (kind, reference, checkpoint_micros, checkpoint_posting_id, created_at)"
        " VALUES ('client_credit', '', 0, 0, now())",
        "INSERT INTO billing_ledgeraccount (kind, reference, checkpoint_micros, checkpoint_posting_id, created_at)"
        " VALUES ('adjustments', '', 0, 0, now())",
        "INSERT INTO billing_entry (idempotency_key, kind, memo, occurred_at, details)"
        " VALUES ('k2', 'theft', '', now(), '{}')",
        "INSERT INTO billing_entry (idempotency_key, kind, memo, occurred_at, details)"
        " VALUES ('k2', 'usage', '', now(), '{}')",
        "INSERT INTO billing_entry (idempotency_key, kind, memo, occurred_at, details)"
        " VALUES ('grant:k', 'credit_grant', '', now(), '{}')",
        "INSERT INTO billing_posting (entry_id, account_id, amount_micros, occurred_at)"
        " SELECT entry_id, account_id, 0, now() FROM billing_posting",
        "DELETE FROM billing_ledgeraccount",
    ],
)
@pytest.mark.usefixtures("grant")
def test_rows_that_make_no_sense_are_refused(sql: str) -> None:
    with pytest.raises(IntegrityError):
        execute(sql)


def test_a_posting_of_an_entry_that_does_not_exist_is_refused(account_ids: tuple[int, int]) -> None:
    with pytest.raises(IntegrityError, match="which does not exist"):
        insert_postings(10**9, account_ids, (-5, 5))
    assert not Posting.objects.exists()


def test_a_posting_on_an_account_that_does_not_exist_is_refused(account_ids: tuple[int, int]) -> None:
    with pytest.raises(IntegrityError, match="account 1000000000, which does not exist"):
        insert_entry((account_ids[0], 10**9), (-5, 5))
    assert not Entry.objects.exists()


def test_half_an_entry_is_looked_at_again_only_until_the_commit(account_ids: tuple[int, int]) -> None:
    insert_entry(account_ids, (-5, 5))
    assert execute("SELECT count(*) FROM billing_suspect") == 0


@pytest.mark.usefixtures("grant")
def test_imbalance_is_refused_at_once_where_constraints_are_immediate(account_ids: tuple[int, int]) -> None:
    with transaction.atomic():
        execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(IntegrityError, match="does not balance"), transaction.atomic():
            execute(POSTING, Entry.objects.get().pk, account_ids[1], 1)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_ledgeraccount SET id = id + 1000",
        "TRUNCATE billing_entry CASCADE",
        "TRUNCATE billing_ledgeraccount CASCADE",
    ],
)
@pytest.mark.usefixtures("grant")
def test_what_postings_point_to_stays(sql: str) -> None:
    with pytest.raises(IntegrityError, match="refused"):
        execute(sql)
    assert Posting.objects.filter(entry__isnull=False, account__isnull=False).count() == 2


def test_an_entry_posted_whole_is_never_suspected(client_user: User, now: datetime) -> None:
    with transaction.atomic():
        services.credit_grant(
            user=client_user, amount_micros=5, actor=None, reason="gift", idempotency_key="k", now=now
        )
        assert execute("SELECT count(*) FROM billing_suspect") == 0


@pytest.mark.usefixtures("grant")
def test_a_balance_beyond_the_column_is_refused_not_wrapped(account_ids: tuple[int, int]) -> None:
    with pytest.raises(DataError):
        execute(POSTING, 1, account_ids[0], 2**63)


@pytest.mark.usefixtures("grant")
def test_emptying_the_database_works() -> None:
    call_command("flush", interactive=False, verbosity=0)
    assert not LedgerAccount.objects.exists()
    assert not Entry.objects.exists()
