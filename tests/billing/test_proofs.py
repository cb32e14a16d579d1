"""The proofs find what is wrong, and nothing where all is right."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from billing import services
from billing.models import LedgerAccount, LedgerCheckRun
from billing.selectors import ledger_check
from marketplace.models import User
from tests.billing.opening import give, open_gpu, open_traffic

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def books(client_user: User, host_user: User, now: datetime) -> Iterator[datetime]:
    """Some of everything, all right; yields the instant up to which it is settled."""
    give(client_user, 10_000_000, now)
    open_gpu("gpu", client_user, host_user, now)
    open_traffic("traffic", client_user, host_user, now)
    services.settle_running(now=now + HOUR)
    services.checkpoint_accounts(now=now + HOUR)
    services.meter_pause(reference="gpu", at=now + 2 * HOUR)
    services.meter_resume(reference="gpu", now=now + 3 * HOUR)
    services.traffic_count(reference="traffic", bytes_total=10**9, now=now + 4 * HOUR)
    yield now + 4 * HOUR
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def tamper(sql: str) -> None:
    """Changes rows behind the back of the rules."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in ("billing_entry", "billing_posting"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(sql)
        for table in ("billing_entry", "billing_posting"):
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def test_right_books_pass(books: datetime) -> None:
    assert ledger_check(books) == []
    assert ledger_check(books + HOUR) == []


@pytest.mark.parametrize(
    ("sql", "codes"),
    [
        (
            "UPDATE billing_posting SET amount_micros = amount_micros + 1 WHERE amount_micros = 270000",
            {"ledger_unbalanced", "entry_unbalanced", "meter_postings_wrong", "checkpoint_wrong"},
        ),
        (
            "DELETE FROM billing_posting WHERE entry_id = (SELECT MAX(id) FROM billing_entry)",
            {"entry_unbalanced", "meter_postings_wrong", "end_of_credit_wrong", "end_of_debt_wrong"},
        ),
        (
            "UPDATE billing_posting SET occurred_at = occurred_at + interval '1 second' WHERE amount_micros > 9000000",
            {"posting_at_other_time"},
        ),
        (
            "UPDATE billing_ledgeraccount SET checkpoint_micros = checkpoint_micros + 1 WHERE kind = 'platform_fees'",
            {"checkpoint_wrong"},
        ),
        (
            "UPDATE billing_meter SET units = units + 1 WHERE reference = 'gpu'",
            {"meter_units_wrong"},
        ),
        (
            "UPDATE billing_metersegment SET counted_bytes = counted_bytes - 1 WHERE counted_bytes > 0",
            {"meter_units_wrong"},
        ),
        (
            "UPDATE billing_metersegment SET ended_at = ended_at + interval '1 microsecond'",
            {"meter_units_wrong"},
        ),
        (
            "UPDATE billing_meter SET posted_micros = posted_micros + 1 WHERE reference = 'gpu'",
            {"meter_total_wrong", "meter_postings_wrong", "end_of_credit_wrong", "end_of_debt_wrong"},
        ),
        (
            "UPDATE billing_meter SET share_units = share_units + 10000 WHERE reference = 'gpu'",
            {"meter_postings_wrong"},
        ),
        (
            "UPDATE billing_ledgeraccount SET zero_at = NULL",
            {"end_of_credit_wrong"},
        ),
        (
            "UPDATE billing_ledgeraccount SET debt_limit_at = zero_at",
            {"end_of_debt_wrong"},
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(books: datetime, sql: str, codes: set[str]) -> None:
    tamper(sql)
    assert {item.code for item in ledger_check(books)} == codes


def test_the_finding_is_kept_and_the_command_fails(books: datetime) -> None:
    tamper("UPDATE billing_ledgeraccount SET checkpoint_micros = checkpoint_micros + 1 WHERE kind = 'adjustments'")
    run = services.ledger_check_record(now=books)
    account = LedgerAccount.objects.get(kind="adjustments")
    assert run.discrepancies == [
        {
            "code": "checkpoint_wrong",
            "subject": f"account {account.pk}",
            "message": f"account {account.pk} checkpoint is -9999999, its postings sum to -10000000.",
        }
    ]
    complaints = StringIO()
    with pytest.raises(CommandError, match="1 discrepancies"):
        call_command("ledger_check", stderr=complaints)
    assert "its postings sum to -10000000" in complaints.getvalue()


@pytest.mark.usefixtures("books")
def test_the_command_says_that_all_is_right() -> None:
    said = StringIO()
    call_command("ledger_check", stdout=said)
    assert said.getvalue() == "The ledger holds.\n"
    assert LedgerCheckRun.objects.get().discrepancies_count == 0
