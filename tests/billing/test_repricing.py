"""New rates for many meters at once do to each what the single action does."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from billing import services
from billing.domain.errors import InvalidRateError
from billing.models import Meter, MeterSegment
from billing.selectors import ledger_check, meter_total_micros, zero_at
from marketplace.models import User
from tests.billing.opening import give, open_gpu, open_traffic
from tests.plumbing.market import T0

HOUR = timedelta(hours=1)


def segments(reference: str) -> list[tuple[int, datetime, datetime | None]]:
    rows = MeterSegment.objects.filter(meter__reference=reference).order_by("pk")
    return list(rows.values_list("rate_micros", "started_at", "ended_at"))


class OneByOneOrTogether(TestCase):
    """Every example in a transaction of its own."""

    @settings(max_examples=60)
    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**7), st.integers(0, 7200)), max_size=8))
    def test_the_same_as_one_by_one(self, changes: list[tuple[int, int, int]]) -> None:
        client, host = (User.objects.create(email=f"{name}@example.com") for name in ("client", "host"))
        give(client, 10**12, T0)
        for twin in ("one", "many"):
            for number in range(4):
                open_gpu(f"{twin}:{number}", client, host, T0, running=number != 3)
        now = T0
        for number, rate, seconds in changes:
            now += timedelta(seconds=seconds)
            services.meter_set_rate(reference=f"one:{number}", rate_micros=rate, now=now)
            services.meters_set_rates(rates={f"many:{number}": rate}, now=now)
        for number in range(4):
            assert segments(f"many:{number}") == segments(f"one:{number}")
            for reference in (f"one:{number}", f"many:{number}"):
                services.meter_resume(reference=reference, now=now)
            end = now + HOUR
            assert meter_total_micros(f"many:{number}", end) == meter_total_micros(f"one:{number}", end)
        assert ledger_check(now) == []


@pytest.mark.django_db
def test_several_clients_at_once(client_user: User, host_user: User, staff: User, now: datetime) -> None:
    for number, payer in enumerate((client_user, staff, client_user)):
        open_gpu(f"m{number}", payer, host_user, now)
    give(client_user, 3_600_000, now)
    rates = {"m0": 720_000, "m1": 0, "m2": 360_000, "unknown": 5}
    assert services.meters_set_rates(rates=rates, now=now + HOUR) == 2
    assert segments("m0") == [(360_000, now, now + HOUR), (720_000, now + HOUR, None)]
    assert segments("m2") == [(360_000, now, None)]
    left_after_an_hour = 3_600_000 - 720_000
    assert zero_at(client_user) == now + HOUR + HOUR * left_after_an_hour / 1_080_000
    assert zero_at(staff) is None, "nothing is being spent"
    assert services.meters_set_rates(rates=rates, now=now + 2 * HOUR) == 0
    assert ledger_check(now + 2 * HOUR) == []


@pytest.mark.django_db
def test_closed_meters_traffic_and_nonsense_change_nothing(client_user: User, host_user: User, now: datetime) -> None:
    open_gpu("closed", client_user, host_user, now)
    services.meter_close(reference="closed", at=now)
    open_traffic("traffic", client_user, host_user, now)
    assert services.meters_set_rates(rates={"closed": 1, "traffic": 1}, now=now + HOUR) == 0
    with pytest.raises(InvalidRateError):
        services.meters_set_rates(rates={"closed": -1}, now=now)
    assert Meter.objects.get(reference="traffic").rate_micros == 10_000
