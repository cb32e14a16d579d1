"""Use summed by days, machines, meters and kinds."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import services
from billing.domain.periods import INSTANT, last_days
from billing.selectors import (
    UseSum,
    charges_by,
    charges_by_reference,
    charges_streamed,
    earnings_by,
    earnings_by_reference,
    earnings_streamed,
)
from billing.selectors.usage import By
from marketplace.models import User
from tests.billing.opening import give, open_gpu, open_traffic
from tests.billing.test_statements import plan_of

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def open_on(machine: int, reference: str, kind: str, payer: User, payee: User, now: datetime, rate: int) -> None:
    services.meter_open(
        reference=reference,
        kind=kind,
        payer=payer,
        payee=payee,
        rate_micros_per_hour=rate,
        now=now,
        running=True,
        earner=f"machine:{machine}",
    )


@pytest.fixture
def used(client_user: User, host_user: User, now: datetime) -> datetime:
    """From Friday noon: two instances on two machines, settled at midnight and at one; looked at at half past one."""
    give(client_user, 10_000_000, now)
    open_on(7, "instance:1:gpu", "gpu", client_user, host_user, now, 360_000)
    open_on(7, "instance:1:storage", "storage", client_user, host_user, now, 1_000)
    open_on(8, "instance:2:gpu", "gpu", client_user, host_user, now, 500_000)
    services.settle_running(now=now + 12 * HOUR)
    services.settle_running(now=now + 13 * HOUR)
    services.meter_close(reference="instance:2:gpu", at=now + 13 * HOUR)
    return now + 13.5 * HOUR


FRIDAY, SATURDAY = date(2026, 3, 6), date(2026, 3, 7)


def test_charges_by_day_and_kind(client_user: User, now: datetime, used: datetime) -> None:
    """What is posted at midnight belongs to the day that ends."""
    assert charges_by(client_user, ["day", "kind"], now - DAY, used, used) == [
        UseSum(10_320_000, day=FRIDAY, kind="gpu"),
        UseSum(12_000, day=FRIDAY, kind="storage"),
        UseSum(360_000 + 180_000 + 500_000, day=SATURDAY, kind="gpu"),
        UseSum(1_500, day=SATURDAY, kind="storage"),
    ]


def test_earnings_by_machine(host_user: User, now: datetime, used: datetime) -> None:
    period = (now - DAY, used, used)
    assert earnings_by(host_user, ["earner"], *period) == [
        UseSum((13 * 360_000 + 180_000 + 13_500) * 3 // 4, earner="machine:7"),
        UseSum(13 * 500_000 * 3 // 4, earner="machine:8"),
    ]
    assert earnings_by(host_user, ["day"], *period, earner="machine:8") == [
        UseSum(4_500_000, day=FRIDAY),
        UseSum(375_000, day=SATURDAY),
    ]
    assert earnings_by(host_user, ["day"], *period, earner="machine:") == []


def test_charges_by_rate_and_direction_of_some_things(
    client_user: User, host_user: User, now: datetime, used: datetime
) -> None:
    open_traffic("instance:1:upload", client_user, host_user, now)
    services.traffic_count(reference="instance:1:upload", bytes_total=10**9, now=used)
    services.meter_set_rate(reference="instance:1:gpu", rate_micros=720_000, now=used)
    later = used + HOUR
    by: list[By] = ["use", "rate_micros"]
    assert charges_by(client_user, by, now, later, later, things=["instance:1"]) == [
        UseSum(13 * 360_000 + 180_000, use="gpu", rate_micros=360_000),
        UseSum(720_000, use="gpu", rate_micros=720_000),
        UseSum(14_500, use="storage", rate_micros=1_000),
        UseSum(10_000, use="upload", rate_micros=10_000),
    ]
    assert charges_by(client_user, by, now, later, later, things=["instance:"]) == []


def test_a_period_without_the_present_has_only_postings(client_user: User, now: datetime, used: datetime) -> None:
    friday_only = charges_by(client_user, ["reference"], now, now + 12 * HOUR, used)
    assert [(row.reference, row.amount_micros) for row in friday_only] == [
        ("instance:1:gpu", 4_320_000),
        ("instance:1:storage", 12_000),
        ("instance:2:gpu", 6_000_000),
    ]
    assert charges_by(client_user, ["day"], used, used + DAY, used) == []


@pytest.mark.usefixtures("used")
def test_roles_are_not_mixed_up(client_user: User, host_user: User, now: datetime) -> None:
    assert charges_by(host_user, ["day"], now, now + 2 * DAY, now + DAY) == []
    assert earnings_by(client_user, ["day"], now, now + 2 * DAY, now + DAY) == []


@pytest.mark.usefixtures("used")
def test_streams_are_the_lists(client_user: User, host_user: User, now: datetime) -> None:
    by: list[By] = ["day", "reference", "kind"]
    period = (now - DAY, now + 2 * DAY, now + DAY)
    assert list(charges_streamed(client_user, by, *period)) == charges_by(client_user, by, *period)
    assert list(earnings_streamed(host_user, by, *period)) == earnings_by(host_user, by, *period)


rates = st.integers(0, 9_999_999)
waits = st.lists(st.tuples(st.integers(1, 200_000_000_000), st.booleans()), min_size=1, max_size=5)


@given(gpu=rates, disk=rates, share_bps=st.integers(0, 10_000), waits=waits)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
def test_sums_are_those_of_the_exact_arithmetic(
    client_user: User, host_user: User, now: datetime, gpu: int, disk: int, share_bps: int, waits: Any
) -> None:
    """However it is grouped, and whether it is posted or not, the same micro-dollars as the pure functions count."""
    with transaction.atomic():
        open_gpu("a", client_user, host_user, now, rate_micros_per_hour=gpu, host_share_bps=share_bps)
        open_gpu("b", client_user, host_user, now, rate_micros_per_hour=disk, host_share_bps=share_bps)
        open_traffic("c", client_user, host_user, now)
        at = now
        for number, (microseconds, settled) in enumerate(waits):
            at += microseconds * INSTANT
            services.traffic_count(reference="c", bytes_total=number * 777_777_777, now=at)
            if settled:
                services.settle_running(now=at)
            exact(client_user, host_user, now - DAY, at)
        for reference in "abc":
            services.meter_close(reference=reference, at=at)
        exact(client_user, host_user, now - DAY, at)
        transaction.set_rollback(True)


def exact(client: User, host: User, since: datetime, at: datetime) -> None:
    for user, grouped, known in (
        (client, charges_by, charges_by_reference),
        (host, earnings_by, earnings_by_reference),
    ):
        wanted = {row.reference: row.amount_micros for row in known(user, since, at, at)}
        assert {row.reference: row.amount_micros for row in grouped(user, ["reference"], since, at, at)} == wanted
        ways: Sequence[Sequence[By]] = (["day"], ["kind"], ["earner"], ["day", "reference", "kind", "earner"])
        for by in ways:
            assert sum(row.amount_micros for row in grouped(user, by, since, at, at)) == sum(wanted.values())


@pytest.mark.usefixtures("used")
def test_lookups_need_no_scan(client_user: User, host_user: User, now: datetime) -> None:
    period = last_days(30, now + DAY)
    arguments = (["day", "reference"], period.since, period.until, now + DAY)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    assert "Seq Scan on billing_posting" not in plan_of(charges_by, client_user, *arguments)
    assert "Seq Scan on billing_entry" not in plan_of(earnings_by, host_user, *arguments)
