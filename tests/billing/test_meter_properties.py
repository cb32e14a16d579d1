"""Any interleaving of what can happen to a client's meters bills exactly rate times time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import services
from billing.domain.accrual import BYTES_PER_GB, MICROSECONDS_PER_HOUR
from billing.domain.depletion import balance_micros_at
from billing.models import AccountKind, Entry, EntryKind, MeterSegment
from billing.selectors import balance_micros, host_earnings_micros, ledger_check, meter_total_micros, zero_at
from billing.selectors.wallets import client_wallets
from marketplace.models import User
from tests.billing.ledger import posted_micros, postings_of

pytestmark = pytest.mark.django_db

CREDIT_MICROS = 3_000_000
MICROSECOND = timedelta(microseconds=1)
TIME_METERS = ("a", "b")

rates = st.integers(0, 5_000_000)
steps = st.one_of(st.just(0), st.integers(1, 5_000_000_000), st.integers(1, 999))
actions = st.one_of(
    st.tuples(st.just("resume"), st.sampled_from(TIME_METERS), st.just(0)),
    st.tuples(st.just("pause"), st.sampled_from(TIME_METERS), st.just(0)),
    st.tuples(st.just("rate"), st.sampled_from((*TIME_METERS, "t")), rates),
    st.tuples(st.just("bytes"), st.just("t"), st.integers(0, 3 * BYTES_PER_GB)),
    st.tuples(st.just("settle"), st.just(""), st.just(0)),
    st.tuples(st.just("checkpoint"), st.just(""), st.just(0)),
)
forwards = st.lists(st.tuples(steps, actions), max_size=14)
anyhow = st.lists(st.tuples(st.integers(-2_000_000_000, 3_000_000_000), actions), max_size=14)
database = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@dataclass
class Expected:
    """Rate times quantity, kept without knowing of settlements. ``since`` is set while time counts."""

    rate_micros: int
    quantum: int
    since: datetime | None = None
    units: int = 0
    bytes_total: int = 0

    def count_to(self, now: datetime) -> None:
        if self.since is not None:
            self.units += self.rate_micros * ((now - self.since) // MICROSECOND)
            self.since = now

    def apply(self, name: str, argument: int, now: datetime) -> None:
        self.count_to(now)
        if name == "resume":
            self.since = now
        elif name == "pause":
            self.since = None
        elif name == "rate":
            self.rate_micros = argument
        elif name == "bytes" and argument > self.bytes_total:
            self.units += self.rate_micros * (argument - self.bytes_total)
            self.bytes_total = argument

    def total_micros(self, now: datetime) -> int:
        self.count_to(now)
        return self.units // self.quantum


@dataclass
class World:
    """A client with two time meters and one of traffic, and what they should say."""

    client: User
    host: User
    now: datetime
    expected: dict[str, Expected] = field(default_factory=dict)

    def open(self) -> None:
        services.credit_grant(
            user=self.client, amount_micros=CREDIT_MICROS, actor=None, reason="x", idempotency_key="x", now=self.now
        )
        for reference in TIME_METERS:
            services.meter_open(
                reference=reference,
                kind="gpu",
                payer=self.client,
                payee=self.host,
                rate_micros_per_hour=123_457,
                now=self.now,
                running=False,
            )
            self.expected[reference] = Expected(123_457, MICROSECONDS_PER_HOUR)
        services.traffic_meter_open(
            reference="t", payer=self.client, payee=self.host, rate_micros_per_gb=9_999, now=self.now
        )
        self.expected["t"] = Expected(9_999, BYTES_PER_GB)

    def act(self, name: str, reference: str, argument: int) -> None:
        act: dict[str, Callable[[], object]] = {
            "resume": lambda: services.meter_resume(reference=reference, now=self.now),
            "pause": lambda: services.meter_pause(reference=reference, at=self.now),
            "rate": lambda: services.meter_set_rate(reference=reference, rate_micros=argument, now=self.now),
            "bytes": lambda: services.traffic_count(reference=reference, bytes_total=argument, now=self.now),
            "settle": lambda: services.settle_running(now=self.now),
            "checkpoint": lambda: services.checkpoint_accounts(now=self.now),
        }
        act[name]()
        act[name]()  # A doubled request changes nothing.
        if reference:
            self.expected[reference].apply(name, argument, self.now)

    def total_micros(self) -> int:
        return sum(meter.total_micros(self.now) for meter in self.expected.values())


@database
@given(story=forwards)
def test_bills_exactly_rate_times_time(
    client_user: User, host_user: User, now: datetime, story: list[tuple[int, tuple[str, str, int]]]
) -> None:
    with transaction.atomic():
        world = World(client_user, host_user, now)
        world.open()
        for step, (name, reference, argument) in story:
            world.now += step * MICROSECOND
            world.act(name, reference, argument)
            assert balance_micros(client_user, world.now) == CREDIT_MICROS - world.total_micros()
        for reference, meter in world.expected.items():
            assert meter_total_micros(reference, world.now) == meter.total_micros(world.now)
        _settles_to_what_was_read(world)
        transaction.set_rollback(True)


@database
@given(story=anyhow)
def test_a_clock_that_steps_back_never_breaks_the_books(
    client_user: User, host_user: User, now: datetime, story: list[tuple[int, tuple[str, str, int]]]
) -> None:
    with transaction.atomic():
        world = World(client_user, host_user, now)
        world.open()
        for step, (name, reference, argument) in story:
            world.now += step * MICROSECOND
            world.act(name, reference, argument)
        _settles_to_what_was_read(world)
        _no_time_is_charged_twice()
        transaction.set_rollback(True)


def _settles_to_what_was_read(world: World) -> None:
    """The balances read equal the posted ones after settling, every entry is split right, and the proofs hold."""
    balance = balance_micros(world.client, world.now)
    earnings = host_earnings_micros(world.host, world.now)
    _credit_ends_when_said(world)
    services.settle_running(now=world.now)
    assert posted_micros(AccountKind.CLIENT_CREDIT, world.client) == balance
    assert posted_micros(AccountKind.HOST_EARNINGS, world.host) == earnings
    assert balance_micros(world.client, world.now) == balance
    for entry in Entry.objects.filter(kind=EntryKind.USAGE):
        amounts = postings_of(entry)
        assert sum(amounts.values()) == 0
        assert amounts.pop(("client_credit", world.client.email)) < 0
        assert all(amount > 0 for amount in amounts.values())
    assert ledger_check(world.now) == []
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def _no_time_is_charged_twice() -> None:
    """Runs of a meter follow each other; that the meter counts just these, the proofs have shown."""
    for reference in TIME_METERS:
        runs = MeterSegment.objects.filter(meter__reference=reference).order_by("pk")
        for earlier, later in pairwise(runs):
            assert earlier.ended_at is not None
            assert earlier.ended_at <= later.started_at


def _credit_ends_when_said(world: World) -> None:
    """At the instant that is kept there is no credit left, and a microsecond before there was."""
    end = zero_at(world.client)
    if end is not None and end > world.now:
        wallet = client_wallets([world.client.pk])[0]
        assert balance_micros_at(wallet.posted_micros, wallet.meters, end) <= 0
        assert balance_micros_at(wallet.posted_micros, wallet.meters, end - MICROSECOND) > 0
