"""Statements of a month: they add up to the ledger, whatever happened."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import services
from billing.domain.periods import INSTANT, Month
from billing.models import AccountKind
from billing.selectors import (
    MonthSum,
    ReferenceTotal,
    month_statement,
    statement_months,
    statement_years,
)
from marketplace.models import User
from tests.billing.ledger import posted_micros
from tests.billing.opening import give, open_gpu
from tests.billing.test_statements import plan_of

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
MARCH, APRIL, MAY = Month(2026, 3), Month(2026, 4), Month(2026, 5)


@pytest.fixture
def spring(client_user: User, host_user: User, now: datetime) -> datetime:
    """Credit in March, a GPU over the end of March, settled at midnight and an hour later; more credit in May."""
    give(client_user, 10_000_000, now)
    open_gpu("instance:1:gpu", client_user, host_user, APRIL.since - 2 * HOUR)
    services.settle_running(now=APRIL.since)
    services.meter_close(reference="instance:1:gpu", at=APRIL.since + HOUR)
    give(client_user, 5_000_000, MAY.since + INSTANT, key="more")
    return MAY.since + HOUR


@pytest.mark.usefixtures("spring")
def test_a_month_from_its_opening_to_its_closing_balance(client_user: User, now: datetime) -> None:
    march = month_statement(client_user, MARCH)
    assert (march.opening_micros, march.closing_micros) == (0, 10_000_000 - 720_000)
    assert march.charges == [ReferenceTotal("instance:1:gpu", "gpu", 720_000)]
    assert [(row.occurred_at, row.kind, row.memo, row.amount_micros) for row in march.movements] == [
        (now, "credit_grant", "gift", 10_000_000)
    ]
    april = month_statement(client_user, APRIL)
    assert (april.opening_micros, april.charges_micros, april.movements_micros) == (9_280_000, 360_000, 0)
    assert (april.closing_micros, month_statement(client_user, MAY).opening_micros) == (8_920_000, 8_920_000)


@pytest.mark.usefixtures("spring")
def test_before_and_after_everything(client_user: User) -> None:
    assert month_statement(client_user, Month(2025, 1)).closing_micros == 0
    later = month_statement(client_user, Month(2027, 1))
    assert (later.opening_micros, later.charges, later.movements) == (13_920_000, [], [])


def test_the_list_of_months(client_user: User, spring: datetime) -> None:
    assert statement_years(client_user, spring) == [2026]
    assert statement_months(client_user, 2026, spring) == [
        MonthSum(MAY, 5_000_000, 0, 13_920_000),
        MonthSum(APRIL, 0, -360_000, 8_920_000),
        MonthSum(MARCH, 10_000_000, -720_000, 9_280_000),
    ]
    next_year = datetime(2027, 2, 3, tzinfo=UTC)
    assert statement_years(client_user, next_year) == [2027, 2026]
    assert [row.closing_micros for row in statement_months(client_user, 2027, next_year)] == [13_920_000] * 2
    assert statement_months(client_user, 2025, next_year) == []


def test_an_account_without_history(client_user: User, now: datetime) -> None:
    assert statement_years(client_user, now) == []
    assert statement_months(client_user, 2026, now) == []
    assert month_statement(client_user, MARCH).closing_micros == 0


def test_others_and_their_earnings_are_left_out(host_user: User, spring: datetime) -> None:
    assert statement_months(host_user, 2026, spring) == []
    assert month_statement(host_user, MARCH).movements == []


steps = st.lists(
    st.tuples(st.integers(1, 40 * 24 * 3600 * 10**6), st.sampled_from(["settle", "give", "checkpoint", "late"])),
    max_size=10,
)


@given(steps=steps)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
def test_all_statements_together_are_the_ledger(client_user: User, host_user: User, now: datetime, steps: Any) -> None:
    with transaction.atomic():
        story(client_user, host_user, now, steps)
        transaction.set_rollback(True)


def story(client: User, host: User, now: datetime, steps: list[tuple[int, str]]) -> None:
    open_gpu("instance:1:gpu", client, host, now)
    at = now
    for number, (microseconds, action) in enumerate(steps):
        at += microseconds * INSTANT
        if action == "settle":
            services.settle_running(now=at)
        elif action == "checkpoint":
            services.checkpoint_accounts(now=at)
        else:
            occurred_at = at if action == "give" else Month.of(at).since  # noted later than it took effect
            give(client, 1_000_000 + number, occurred_at, key=f"{number}")
    services.meter_close(reference="instance:1:gpu", at=at)
    check_sums(client, Month.of(now).previous, Month.of(at), at)


def check_sums(client: User, first: Month, last: Month, now: datetime) -> None:
    """Each month opens where the last one closed; all movements and charges are in one month each."""
    month, balance, moved = first, 0, 0
    closings = {}
    while month <= last:
        statement = month_statement(client, month)
        assert statement.opening_micros == balance
        moved += statement.movements_micros - statement.charges_micros
        balance = closings[month] = statement.closing_micros
        month = month.next
    assert balance == moved == posted_micros(AccountKind.CLIENT_CREDIT, client)
    listed = [row for year in statement_years(client, now) for row in statement_months(client, year, now)]
    assert {row.month: row.closing_micros for row in listed} == {row.month: closings[row.month] for row in listed}
    assert sum(row.in_micros + row.out_micros for row in listed) == moved


@pytest.mark.usefixtures("spring")
def test_lookups_need_no_scan(client_user: User, now: datetime) -> None:
    assert "Seq Scan" not in plan_of(month_statement, client_user, MARCH)
    assert "Seq Scan" not in plan_of(statement_months, client_user, 2026, now)
    assert "Seq Scan" not in plan_of(statement_years, client_user, now)
