"""Meters one action at a time: exact ends, repeated and late requests, refusals that leave nothing behind."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from pytest_django.fixtures import Settings

from billing import services
from billing.domain.errors import (
    BillingError,
    InvalidMeterKindError,
    InvalidRateError,
    InvalidReferenceError,
    InvalidShareError,
    MeterClosedError,
    MeterExistsError,
    SamePartyError,
    UnknownMeterError,
)
from billing.models import AccountKind, AccountTerms, Entry, Meter, MeterSegment
from billing.selectors import (
    balance_micros,
    exhausted_payers,
    hourly_cost_micros,
    ledger_check,
    meter_total_micros,
    meter_totals_micros,
    seconds_left,
    zero_at,
)
from billing.services import NewMeter
from marketplace.models import User
from tests.billing.conftest import MakeUser
from tests.billing.ledger import meter, posted_micros, postings_of
from tests.billing.opening import HOURLY_MICROS, give, open_gpu, open_traffic

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def segments(reference: str) -> list[tuple[int, datetime, datetime | None]]:
    rows = MeterSegment.objects.filter(meter__reference=reference).order_by("pk")
    return list(rows.values_list("rate_micros", "started_at", "ended_at"))


def test_charging_stops_exactly_at_the_instant_given(client_user: User, host_user: User, now: datetime) -> None:
    open_gpu("m", client_user, host_user, now)
    services.meter_pause(reference="m", at=now + timedelta(microseconds=9_999))
    assert posted_micros(AccountKind.CLIENT_CREDIT, client_user) == 0
    services.meter_resume(reference="m", now=now + HOUR)
    services.meter_pause(reference="m", at=now + HOUR + timedelta(microseconds=1))
    assert posted_micros(AccountKind.CLIENT_CREDIT, client_user) == -1
    assert segments("m") == [
        (360_000, now, now + timedelta(microseconds=9_999)),
        (360_000, now + HOUR, now + HOUR + timedelta(microseconds=1)),
    ]


def test_a_pause_before_what_is_settled_takes_nothing_back(client_user: User, host_user: User, now: datetime) -> None:
    open_gpu("m", client_user, host_user, now)
    services.settle_running(now=now + HOUR)
    services.meter_pause(reference="m", at=now + HOUR / 2)
    assert meter_total_micros("m", now + 2 * HOUR) == 360_000
    assert segments("m") == [(360_000, now, now + HOUR)]
    services.meter_resume(reference="m", now=now + HOUR / 2)
    assert meter_total_micros("m", now + 2 * HOUR) == 720_000
    assert ledger_check(now + 2 * HOUR) == []


def test_repeated_requests_change_nothing(client_user: User, host_user: User, now: datetime) -> None:
    open_gpu("m", client_user, host_user, now)
    services.meter_resume(reference="m", now=now + HOUR / 2)
    services.meter_pause(reference="m", at=now + HOUR)
    services.meter_pause(reference="m", at=now + 2 * HOUR)
    services.meter_close(reference="m", at=now + 3 * HOUR)
    services.meter_close(reference="m", at=now + 4 * HOUR)
    services.meter_pause(reference="m", at=now + 5 * HOUR)
    assert meter("m").closed_at == now + 3 * HOUR
    assert meter_totals_micros(["m", "none"], now + 9 * HOUR) == {"m": 360_000}
    assert Entry.objects.count() == 1
    assert len(segments("m")) == 1


def test_a_new_rate_counts_from_its_instant(client_user: User, host_user: User, now: datetime) -> None:
    open_gpu("m", client_user, host_user, now)
    services.meter_set_rate(reference="m", rate_micros=720_000, now=now + HOUR)
    services.meter_set_rate(reference="m", rate_micros=720_000, now=now + 2 * HOUR)
    services.meter_close(reference="m", at=now + 3 * HOUR)
    assert segments("m") == [(360_000, now, now + HOUR), (720_000, now + HOUR, now + 3 * HOUR)]
    assert meter_total_micros("m", now + 3 * HOUR) == 360_000 + 2 * 720_000
    details = Entry.objects.order_by("pk").values_list("details", flat=True)
    assert list(details) == [
        {"since": now.isoformat(), "rate_micros": 360_000, "host_share_bps": 7_500},
        {"since": (now + HOUR).isoformat(), "rate_micros": 720_000, "host_share_bps": 7_500},
    ]


def test_a_rate_changed_while_paused_counts_from_the_next_run(
    client_user: User, host_user: User, now: datetime
) -> None:
    open_gpu("m", client_user, host_user, now, running=False)
    services.meter_set_rate(reference="m", rate_micros=720_000, now=now + HOUR)
    assert segments("m") == []
    services.meter_resume(reference="m", now=now + HOUR)
    assert meter_total_micros("m", now + 2 * HOUR) == 720_000


def test_the_share_is_the_installations_unless_given(
    client_user: User, host_user: User, now: datetime, settings: Settings
) -> None:
    settings.PLATFORM_HOST_SHARE_BPS = 8_000
    open_gpu("usual", client_user, host_user, now)
    open_gpu("special", client_user, host_user, now, host_share_bps=10_000)
    settings.PLATFORM_HOST_SHARE_BPS = 1
    services.settle_running(now=now + HOUR)
    usual, special = Entry.objects.order_by("pk")
    host = ("host_earnings", "host@example.com")
    assert postings_of(usual)[host] == 288_000
    assert postings_of(special) == {("client_credit", "client@example.com"): -360_000, host: 360_000}


def test_a_free_meter_posts_nothing_and_spends_nothing(client_user: User, host_user: User, now: datetime) -> None:
    open_gpu("m", client_user, host_user, now, rate_micros_per_hour=0)
    services.settle_running(now=now + HOUR)
    services.meter_close(reference="m", at=now + 2 * HOUR)
    assert not Entry.objects.exists()
    assert zero_at(client_user) is None


def test_traffic_counts_each_byte_once(client_user: User, host_user: User, now: datetime) -> None:
    open_traffic("t", client_user, host_user, now)
    for bytes_total in (999_999, 300_000_000, 299_000_000, 300_000_000, -5):
        services.traffic_count(reference="t", bytes_total=bytes_total, now=now)
    assert meter("t").counted_bytes == 300_000_000
    assert balance_micros(client_user, now) == -3_000
    assert not Entry.objects.exists()
    services.meter_set_rate(reference="t", rate_micros=20_000, now=now)
    services.traffic_count(reference="t", bytes_total=400_000_000, now=now + HOUR)
    services.meter_close(reference="t", at=now + HOUR)
    assert balance_micros(client_user, now) == -3_000 - 2_000
    assert ledger_check(now + HOUR) == []


def test_the_end_of_credit_follows_every_change(client_user: User, host_user: User, now: datetime) -> None:
    give(client_user, 720_000, now)
    assert zero_at(client_user) is None
    assert seconds_left(client_user, now) is None
    open_gpu("a", client_user, host_user, now)
    assert zero_at(client_user) == now + 2 * HOUR
    open_gpu("b", client_user, host_user, now)
    assert zero_at(client_user) == now + HOUR
    assert hourly_cost_micros(client_user) == 720_000
    services.meter_pause(reference="b", at=now + HOUR / 2)
    assert zero_at(client_user) == now + HOUR * 1.5
    services.meter_set_rate(reference="a", rate_micros=180_000, now=now + HOUR)
    assert zero_at(client_user) == now + 2 * HOUR
    assert exhausted_payers(now + 2 * HOUR) == [client_user.pk]
    assert seconds_left(client_user, now + HOUR) == 3_600
    assert seconds_left(client_user, now + 3 * HOUR) == 0
    give(client_user, 180_000, now + 2 * HOUR, key="more")
    assert zero_at(client_user) == now + 3 * HOUR
    assert exhausted_payers(now + 2 * HOUR) == []
    services.meter_close(reference="a", at=now + 2 * HOUR)
    assert zero_at(client_user) is None


def test_a_debt_is_dated_from_when_it_began(client_user: User, host_user: User, now: datetime) -> None:
    give(client_user, 360_000, now)
    open_gpu("m", client_user, host_user, now)
    services.settle_running(now=now + 5 * HOUR)
    open_gpu("n", client_user, host_user, now + 6 * HOUR)
    assert zero_at(client_user) == now + HOUR


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"kind": "coffee"}, InvalidMeterKindError),
        ({"kind": "traffic"}, InvalidMeterKindError),
        ({"rate_micros_per_hour": -1}, InvalidRateError),
        ({"rate_micros_per_hour": 10**13}, InvalidRateError),
        ({"host_share_bps": 10_001}, InvalidShareError),
        ({"reference": ""}, InvalidReferenceError),
        ({"reference": "x" * 101}, InvalidReferenceError),
        ({"reference": "taken"}, MeterExistsError),
    ],
)
def test_meters_that_make_no_sense_are_refused(
    client_user: User, host_user: User, now: datetime, change: dict[str, object], error: type[BillingError]
) -> None:
    open_gpu("taken", client_user, host_user, now, running=False)
    meaning = {"reference": "m", "kind": "gpu", "rate_micros_per_hour": 1, "now": now, "running": True}
    with pytest.raises(error) as refusal:
        services.meter_open(payer=client_user, payee=host_user, **(meaning | change))  # type: ignore[arg-type]  # of any type
    assert refusal.value.message
    assert Meter.objects.count() == 1
    assert not MeterSegment.objects.exists()


def test_the_meters_of_a_contract_are_opened_together(client_user: User, host_user: User, now: datetime) -> None:
    wanted = [NewMeter("time", "gpu", HOURLY_MICROS), NewMeter("disk", "storage", 0), NewMeter("up", "traffic", 10_000)]
    opened = services.meters_open(meters=wanted, payer=client_user, payee=host_user, now=now, earner="machine:1")
    assert [(meter.reference, meter.running_since, meter.earner) for meter in opened] == [
        ("time", None, "machine:1"),
        ("disk", None, "machine:1"),
        ("up", None, "machine:1"),
    ]
    services.meter_resume(reference="time", now=now)
    services.traffic_count(reference="up", bytes_total=10**9, now=now)
    services.meter_pause(reference="time", at=now + HOUR)
    assert balance_micros(client_user, now + HOUR) == -HOURLY_MICROS - 10_000


@pytest.mark.parametrize("bad", [NewMeter("n", "coffee", 1), NewMeter("n", "gpu", -1), NewMeter("taken", "gpu", 1)])
def test_of_the_meters_of_a_contract_all_are_opened_or_none(
    client_user: User, host_user: User, now: datetime, bad: NewMeter
) -> None:
    open_gpu("taken", client_user, host_user, now, running=False)
    with pytest.raises(BillingError):
        services.meters_open(meters=[NewMeter("m", "traffic", 1), bad], payer=client_user, payee=host_user, now=now)
    assert Meter.objects.count() == 1
    assert not MeterSegment.objects.exists()


def test_nobody_rents_from_itself(host_user: User, now: datetime) -> None:
    with pytest.raises(SamePartyError):
        open_gpu("m", host_user, host_user, now)


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda now: services.meter_resume(reference="closed", now=now), MeterClosedError),
        (lambda now: services.meter_set_rate(reference="closed", rate_micros=1, now=now), MeterClosedError),
        (lambda now: services.traffic_count(reference="closed", bytes_total=1, now=now), MeterClosedError),
        (lambda now: services.meter_resume(reference="traffic", now=now), InvalidMeterKindError),
        (lambda now: services.traffic_count(reference="gpu", bytes_total=1, now=now), InvalidMeterKindError),
        (lambda now: services.meter_set_rate(reference="gpu", rate_micros=-1, now=now), InvalidRateError),
        (lambda now: services.meter_resume(reference="none", now=now), UnknownMeterError),
        (lambda now: services.meter_pause(reference="none", at=now), UnknownMeterError),
        (lambda now: services.meter_close(reference="none", at=now), UnknownMeterError),
        (lambda now: meter_total_micros("none", now), UnknownMeterError),
    ],
)
def test_impossible_actions_are_refused(
    client_user: User,
    host_user: User,
    now: datetime,
    act: Callable[[datetime], object],
    error: type[BillingError],
) -> None:
    open_gpu("gpu", client_user, host_user, now)
    open_traffic("traffic", client_user, host_user, now)
    open_traffic("closed", client_user, host_user, now)
    services.meter_close(reference="closed", at=now)
    before = list(Meter.objects.order_by("pk").values())
    with pytest.raises(error):
        act(now + HOUR)
    assert list(Meter.objects.order_by("pk").values()) == before
    assert not Entry.objects.exists()


def test_new_meters_take_the_share_agreed_with_the_host(
    client_user: User, host_user: User, make_user: MakeUser, now: datetime
) -> None:
    agreed, other = AccountTerms.objects.create(owner=host_user, host_share_bps=9_000), make_user("other")
    AccountTerms.objects.create(owner=other, payouts_held_reason="asked")
    open_gpu("before", client_user, host_user, now)
    agreed.host_share_bps = 5_000
    agreed.save()
    open_traffic("after", client_user, host_user, now)
    open_gpu("stated", client_user, host_user, now, host_share_bps=1_000)
    open_gpu("default", client_user, other, now)
    shares = {name: meter(name).host_share_bps for name in ("before", "after", "stated", "default")}
    assert shares == {"before": 9_000, "after": 5_000, "stated": 1_000, "default": 7_500}
    services.meter_close(reference="before", at=now + HOUR)
    entry = Entry.objects.get()
    assert postings_of(entry)["host_earnings", host_user.email] == 324_000
    assert entry.details["host_share_bps"] == 9_000
