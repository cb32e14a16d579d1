"""What clients and hosts are shown, and that it is looked up and not searched for."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import services
from billing.models import AccountKind
from billing.selectors import (
    ReferenceTotal,
    balance_micros,
    balances_micros,
    charges_by_reference,
    earnings_by_reference,
    exhausted_payers,
    host_earnings_micros,
    hourly_cost_micros,
    posted_balance_micros,
    seconds_left,
    statement,
)
from marketplace.models import User
from tests.billing.conftest import MakeUser
from tests.billing.ledger import account
from tests.billing.opening import give, open_gpu, open_traffic

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def used(client_user: User, host_user: User, now: datetime) -> datetime:
    """Two hours of a GPU (one of them posted), a GB, and a meter that was closed; returns their end."""
    give(client_user, 10_000_000, now)
    open_gpu("instance:1:gpu", client_user, host_user, now)
    open_traffic("instance:1:upload", client_user, host_user, now)
    open_gpu("instance:10:gpu", client_user, host_user, now)
    services.meter_close(reference="instance:10:gpu", at=now + HOUR / 2)
    services.settle_running(now=now + HOUR)
    services.traffic_count(reference="instance:1:upload", bytes_total=10**9, now=now + 2 * HOUR)
    return now + 2 * HOUR


def amounts(rows: list[ReferenceTotal]) -> dict[str, int]:
    return {row.reference: row.amount_micros for row in rows}


def test_charges_include_what_is_accrued(client_user: User, host_user: User, now: datetime, used: datetime) -> None:
    assert charges_by_reference(client_user, now, used, used) == [
        ReferenceTotal("instance:10:gpu", "gpu", 180_000),
        ReferenceTotal("instance:1:gpu", "gpu", 720_000),
        ReferenceTotal("instance:1:upload", "traffic", 10_000),
    ]
    assert amounts(earnings_by_reference(host_user, now, used, used)) == {
        "instance:10:gpu": 135_000,
        "instance:1:gpu": 540_000,
        "instance:1:upload": 7_500,
    }
    assert host_earnings_micros(host_user, used) == 135_000 + 540_000 + 7_500


def test_a_period_ends_with_its_last_instant(client_user: User, now: datetime, used: datetime) -> None:
    """A posting belongs to the end of the time it pays for: the one at one o'clock ends the first hour."""
    assert amounts(charges_by_reference(client_user, now, now + HOUR, used)) == {
        "instance:10:gpu": 180_000,
        "instance:1:gpu": 360_000,
    }
    assert amounts(charges_by_reference(client_user, now + HOUR, used, used)) == {
        "instance:1:gpu": 360_000,
        "instance:1:upload": 10_000,
    }
    assert charges_by_reference(client_user, used, used + HOUR, used) == []


def test_a_prefix_narrows(client_user: User, host_user: User, now: datetime, used: datetime) -> None:
    assert amounts(charges_by_reference(client_user, now, used, used, prefix="instance:1:")) == {
        "instance:1:gpu": 720_000,
        "instance:1:upload": 10_000,
    }
    assert amounts(earnings_by_reference(host_user, now, used, used, prefix="instance:10:")) == {
        "instance:10:gpu": 135_000
    }


@pytest.mark.usefixtures("used")
def test_roles_are_not_mixed_up(client_user: User, host_user: User, now: datetime) -> None:
    assert charges_by_reference(host_user, now, now + 9 * HOUR, now) == []
    assert earnings_by_reference(client_user, now, now + 9 * HOUR, now) == []
    assert balance_micros(host_user, now + HOUR) == 0
    assert host_earnings_micros(client_user, now + HOUR) == 0
    assert [row.amount_micros for row in statement(host_user)] == []


@pytest.mark.usefixtures("used")
def test_statements_go_back_page_by_page(client_user: User, host_user: User, now: datetime) -> None:
    newest = statement(client_user, limit=2)
    assert [(row.reference, row.amount_micros, row.occurred_at) for row in newest] == [
        ("instance:1:gpu", -360_000, now + HOUR),
        ("instance:10:gpu", -180_000, now + HOUR / 2),
    ]
    older = statement(client_user, limit=2, before_id=newest[-1].posting_id)
    assert [(row.kind, row.memo, row.reference, row.amount_micros) for row in older] == [
        ("credit_grant", "gift", "", 10_000_000)
    ]
    earned = statement(host_user, account_kind=AccountKind.HOST_EARNINGS)
    assert [row.amount_micros for row in earned] == [270_000, 135_000]


@pytest.mark.usefixtures("used")
def test_posted_balances_of_accounts(now: datetime) -> None:
    services.checkpoint_accounts(now=now)
    services.settle_running(now=now + 2 * HOUR)
    assert posted_balance_micros(account(AccountKind.PLATFORM_FEES, None)) == 45_000 + 180_000 + 2_500


def test_an_account_without_any_history(make_user: MakeUser, now: datetime) -> None:
    user = make_user("new")
    assert balance_micros(user, now) == 0
    assert balances_micros([user.pk], now) == {user.pk: 0}
    assert hourly_cost_micros(user) == 0
    assert seconds_left(user, now) is None
    assert host_earnings_micros(user, now) == 0
    assert statement(user) == []
    assert exhausted_payers(now) == []


def plan_of(act: Any, *arguments: Any) -> str:
    """How PostgreSQL runs the queries of ``act`` when it may scan nothing."""
    with CaptureQueriesContext(connection) as queries:
        act(*arguments)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        plans = []
        for query in queries.captured_queries:
            cursor.execute(f"EXPLAIN {query['sql']}")
            plans += [row[0] for row in cursor.fetchall()]
        cursor.execute("SET LOCAL enable_seqscan = on")
    return "\n".join(plans)


@pytest.mark.parametrize(
    "act",
    [
        lambda _user, now: exhausted_payers(now),
        balance_micros,
        host_earnings_micros,
        lambda user, now: charges_by_reference(user, now, now, now),
        lambda user, _now: statement(user),
        lambda user, _now: hourly_cost_micros(user),
    ],
)
@pytest.mark.usefixtures("used")
def test_lookups_need_no_scan(client_user: User, now: datetime, act: Any) -> None:
    assert "Seq Scan" not in plan_of(act, client_user, now)
