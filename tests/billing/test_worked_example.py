"""A story with every posting: Clara gets $2, rents two machines of Hugo's, and runs out of credit.

Machine 1: one GPU for $0.36 an hour and a disk for $0.0072 an hour. Machine 2: two GPUs for $1.00 an hour, and its
uploads cost $0.01 per GB. Hugo gets 75% of everything.
"""

from datetime import datetime, timedelta

import pytest

from billing import services
from billing.models import AccountKind, Entry
from billing.selectors import (
    balance_micros,
    charges_by_reference,
    earnings_by_reference,
    exhausted_payers,
    host_earnings_micros,
    hourly_cost_micros,
    ledger_check,
    seconds_left,
    statement,
    zero_at,
)
from marketplace.models import User
from tests.billing.ledger import posted_micros, postings_of

pytestmark = pytest.mark.django_db

CLIENT = ("client_credit", "client@example.com")
HOST = ("host_earnings", "host@example.com")
PLATFORM = ("platform_fees", "")


def entries(since: int = 0) -> list[tuple[str, dict[tuple[str, str], int]]]:
    return [(entry.memo, postings_of(entry)) for entry in Entry.objects.filter(pk__gt=since).order_by("pk")]


def last_entry_id() -> int:
    return Entry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


@pytest.fixture
def clara(client_user: User) -> User:
    return client_user


@pytest.fixture
def hugo(host_user: User) -> User:
    return host_user


def test_story(clara: User, hugo: User, staff: User, now: datetime) -> None:
    noon, one, two = now, now + timedelta(hours=1), now + timedelta(hours=2)
    clara_gets_credit(clara, staff, noon)
    clara_rents_machine_1(clara, hugo, noon + timedelta(minutes=5))
    the_first_hour_is_settled(one)
    clara_moves_to_machine_2(clara, hugo, one + timedelta(minutes=10))
    the_second_hour_is_settled(clara, two)
    her_credit_ends(clara)
    what_they_see(clara, hugo, noon - timedelta(hours=1), noon + timedelta(hours=9))
    the_books(clara, hugo, noon + timedelta(hours=9))


def clara_gets_credit(clara: User, staff: User, noon: datetime) -> None:
    """Noon: staff give Clara $2. Nothing runs, so nothing ends it."""
    grant = services.credit_grant(
        user=clara, amount_micros=2_000_000, actor=staff, reason="Welcome", idempotency_key="w", now=noon
    )
    assert postings_of(grant) == {("adjustments", ""): -2_000_000, CLIENT: 2_000_000}
    assert zero_at(clara) is None


def clara_rents_machine_1(clara: User, hugo: User, rented: datetime) -> None:
    """The disk exists at once, the GPU runs twenty seconds later and a quarter of an hour long."""
    mark = last_entry_id()
    services.meter_open(
        reference="instance:1:storage",
        kind="storage",
        payer=clara,
        payee=hugo,
        rate_micros_per_hour=7_200,
        now=rented,
        running=True,
    )
    services.meter_open(
        reference="instance:1:gpu",
        kind="gpu",
        payer=clara,
        payee=hugo,
        rate_micros_per_hour=360_000,
        now=rented,
        running=False,
    )
    started = rented + timedelta(seconds=20)
    services.meter_resume(reference="instance:1:gpu", now=started)
    assert hourly_cost_micros(clara) == 367_200

    # 900 s of GPU are 90000 micro-dollars, 920 s of disk are 1840. Nobody has written anything.
    later = started + timedelta(minutes=15)
    assert entries(mark) == []
    assert balance_micros(clara, later) == 2_000_000 - 90_000 - 1_840
    assert host_earnings_micros(hugo, later) == 67_500 + 1_380

    # She stops the instance; its disk goes on.
    services.meter_pause(reference="instance:1:gpu", at=later)
    assert entries(mark) == [
        ("GPU time instance:1:gpu", {CLIENT: -90_000, HOST: 67_500, PLATFORM: 22_500}),
    ]
    assert hourly_cost_micros(clara) == 7_200


def the_first_hour_is_settled(one: datetime) -> None:
    """55 minutes of disk are posted, once."""
    mark = last_entry_id()
    assert services.settle_running(now=one) == 1
    assert services.settle_running(now=one) == 0
    assert entries(mark) == [("Storage instance:1:storage", {CLIENT: -6_600, HOST: 4_950, PLATFORM: 1_650})]


def clara_moves_to_machine_2(clara: User, hugo: User, moved: datetime) -> None:
    """She destroys the first instance, rents the second machine, and uploads 1.5 GB to it."""
    mark = last_entry_id()
    services.meter_close(reference="instance:1:gpu", at=moved)
    services.meter_close(reference="instance:1:storage", at=moved)
    services.meter_open(
        reference="instance:2:gpu",
        kind="gpu",
        payer=clara,
        payee=hugo,
        rate_micros_per_hour=1_000_000,
        now=moved,
        running=True,
    )
    services.traffic_meter_open(
        reference="instance:2:upload", payer=clara, payee=hugo, rate_micros_per_gb=10_000, now=moved
    )
    assert entries(mark) == [("Storage instance:1:storage", {CLIENT: -1_200, HOST: 900, PLATFORM: 300})]
    balance = 2_000_000 - 90_000 - 6_600 - 1_200
    assert balance_micros(clara, moved) == balance
    assert zero_at(clara) == moved + timedelta(microseconds=balance * 3600)

    # The report of her upload comes twice. It costs 15000 and brings the end 54 s nearer.
    for _ in range(2):
        services.traffic_count(reference="instance:2:upload", bytes_total=1_500_000_000, now=moved)
    assert balance_micros(clara, moved) == balance - 15_000
    assert zero_at(clara) == moved + timedelta(microseconds=(balance - 15_000) * 3600)


def the_second_hour_is_settled(clara: User, two: datetime) -> None:
    """50 minutes of two GPUs, and the upload."""
    mark = last_entry_id()
    assert services.settle_running(now=two) == 2
    assert entries(mark) == [
        ("GPU time instance:2:gpu", {CLIENT: -833_333, HOST: 624_999, PLATFORM: 208_334}),
        ("Traffic instance:2:upload", {CLIENT: -15_000, HOST: 11_250, PLATFORM: 3_750}),
    ]
    assert seconds_left(clara, two) == 3_793


def her_credit_ends(clara: User) -> None:
    """To the microsecond; she is found, and stopped three seconds late, which she owes."""
    end = zero_at(clara)
    assert end is not None
    assert balance_micros(clara, end - timedelta(microseconds=1)) == 1
    assert balance_micros(clara, end) == 0
    assert exhausted_payers(end - timedelta(microseconds=1)) == []
    assert exhausted_payers(end) == [clara.pk]
    mark = last_entry_id()
    services.meter_close(reference="instance:2:gpu", at=end + timedelta(seconds=3))
    services.meter_close(reference="instance:2:upload", at=end + timedelta(seconds=3))
    assert entries(mark) == [
        ("GPU time instance:2:gpu", {CLIENT: -1_054_700, HOST: 791_025, PLATFORM: 263_675}),
    ]
    assert exhausted_payers(end + timedelta(days=1)) == []


def what_they_see(clara: User, hugo: User, since: datetime, until: datetime) -> None:
    charges = {row.reference: row.amount_micros for row in charges_by_reference(clara, since, until, until)}
    assert charges == {
        "instance:1:gpu": 90_000,
        "instance:1:storage": 7_800,
        "instance:2:gpu": 1_888_033,
        "instance:2:upload": 15_000,
    }
    assert balance_micros(clara, until) == 2_000_000 - sum(charges.values()) == -833
    earned = earnings_by_reference(hugo, since, until, until, prefix="instance:2:")
    assert [(row.reference, row.amount_micros) for row in earned] == [
        ("instance:2:gpu", 1_416_024),
        ("instance:2:upload", 11_250),
    ]
    assert [(row.memo, row.amount_micros) for row in statement(clara, limit=2)] == [
        ("GPU time instance:2:gpu", -1_054_700),
        ("Traffic instance:2:upload", -15_000),
    ]


def the_books(clara: User, hugo: User, now: datetime) -> None:
    assert posted_micros(AccountKind.CLIENT_CREDIT, clara) == -833
    assert posted_micros(AccountKind.HOST_EARNINGS, hugo) == 67_500 + 5_850 + 1_416_024 + 11_250
    assert posted_micros(AccountKind.PLATFORM_FEES) == 22_500 + 1_950 + 472_009 + 3_750
    assert ledger_check(now) == []
