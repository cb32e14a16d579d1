"""Settling many at once."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import services
from billing.models import Entry, Meter
from billing.selectors import ledger_check, zero_at
from billing.services import settlement
from marketplace.models import User
from tests.billing.conftest import MakeUser
from tests.billing.opening import give, open_gpu, open_traffic

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def clients(make_user: MakeUser, host_user: User, now: datetime) -> list[User]:
    """Three clients with a running meter each."""
    users = [make_user(f"client{number}") for number in range(3)]
    for user in users:
        open_gpu(f"gpu of {user}", user, host_user, now)
    return users


@pytest.mark.usefixtures("clients")
def test_running_again_after_a_crash_completes_it(now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement, "PAYERS_PER_BATCH", 1)
    save, calls = settlement.meters_save, 0

    def crash_on_the_second(meters: Sequence[Meter]) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        save(meters)

    monkeypatch.setattr(settlement, "meters_save", crash_on_the_second)
    with pytest.raises(KeyboardInterrupt):
        services.settle_running(now=now + HOUR)
    assert Entry.objects.count() == 1
    assert services.settle_running(now=now + HOUR) == 2
    assert services.settle_running(now=now + HOUR) == 0
    assert set(Meter.objects.values_list("posted_micros", flat=True)) == {360_000}
    assert ledger_check(now + HOUR) == []


def test_a_batch_takes_the_same_queries_for_one_and_for_many(
    clients: list[User], host_user: User, now: datetime
) -> None:
    services.settle_running(now=now + HOUR)

    def queries_to_settle(at: datetime) -> int:
        with CaptureQueriesContext(connection) as queries:
            services.settle_running(now=at)
        return len(queries)

    few = queries_to_settle(now + 2 * HOUR)
    for number in range(20):
        open_gpu(f"more {number}", clients[number % 3], host_user, now + 2 * HOUR)
    assert queries_to_settle(now + 3 * HOUR) == few


def test_settling_leaves_the_end_of_credit_where_it_was(clients: list[User], now: datetime) -> None:
    give(clients[0], 777_777, now)
    before = zero_at(clients[0])
    for seconds in (1, 1_000, 3_601, 7_776):
        services.settle_running(now=now + timedelta(seconds=seconds))
        assert ledger_check(now + timedelta(seconds=seconds)) == []
    assert before is not None
    assert zero_at(clients[0]) == before


def test_one_client_can_be_settled_alone(clients: list[User], now: datetime) -> None:
    assert services.settle_payer(payer=clients[1], now=now + HOUR) == 1
    assert Entry.objects.get().memo == f"GPU time gpu of {clients[1]}"


@pytest.mark.usefixtures("clients")
def test_paused_meters_are_left_alone(client_user: User, host_user: User, now: datetime) -> None:
    open_gpu("paused", client_user, host_user, now, running=False)
    services.settle_running(now=now + HOUR)
    assert Meter.objects.get(reference="paused").settled_at == now


def test_traffic_counted_after_a_settlement_is_posted_by_the_next_at_the_same_instant(
    client_user: User, host_user: User, now: datetime
) -> None:
    open_traffic("t", client_user, host_user, now)
    assert services.settle_running(now=now) == 0
    services.traffic_count(reference="t", bytes_total=10**9, now=now)
    assert services.settle_running(now=now) == 1
    assert ledger_check(now) == []
