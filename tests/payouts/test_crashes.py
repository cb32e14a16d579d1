"""Workers that die anywhere, and two at once: each host is paid once, and the ledger balances."""

from collections.abc import Callable
from datetime import datetime

import pytest

from billing import locks, services
from billing.models import Payout
from billing.selectors import ledger_check
from marketplace.models import User
from tests.billing.killing import Arm, after_calls, at_commits, at_statements, killed_at_every_point
from tests.billing.racing import race
from tests.billing.weeks import FRIDAY, HOUR, WEEK, open_on
from tests.payouts.earning import DOLLAR, clearing, earnings, pending, week_of
from tests.payouts.providers import Providers

pytestmark = pytest.mark.django_db(transaction=True)

WEEKLY = 168 * DOLLAR
ARMS: dict[str, Callable[[pytest.MonkeyPatch], Arm]] = {
    "statement": lambda _: at_statements,
    "commit": lambda _: at_commits,
    "call": after_calls,
}


def carry(now: datetime) -> None:
    """All that a worker does about payouts."""
    services.payouts_create(now=now)
    services.payouts_send(now=now)
    services.payouts_look(now=now + 2 * HOUR)


@pytest.mark.parametrize(
    ("provider", "point", "least"),
    [
        ("stripe", "statement", 40),
        ("stripe", "commit", 5),
        ("stripe", "call", 4),
        ("paypal", "commit", 5),
        ("paypal", "call", 2),
    ],
)
def test_killed_at_every_point(
    providers: Providers,
    client_user: User,
    host_user: User,
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    point: str,
    least: int,
) -> None:
    """Each week the worker dies a point later. The next one finds what it left, and pays what is to be paid."""
    method = providers.bank(host_user) if provider == "stripe" else providers.paypal(host_user)
    assert method.state == "ready"
    open_on("machine:7", client_user, host_user, FRIDAY - 168 * HOUR, rate=DOLLAR, share=10_000)
    week = 0
    services.weekly_runs(now=FRIDAY)

    def work() -> None:
        carry(FRIDAY + week * WEEK)

    for _ in killed_at_every_point(ARMS[point](monkeypatch), work):
        carry(FRIDAY + week * WEEK + 4 * HOUR)
        paid_until(week, host_user)
        week += 1
        services.weekly_runs(now=FRIDAY + week * WEEK)
    assert week >= least
    paid_until(week, host_user)
    kind = "transfer" if provider == "stripe" else "paypal_batch"
    assert len(providers.objects(kind)) == week + 1
    fees = sum(Payout.objects.values_list("fee_micros", flat=True))
    assert clearing(provider) == (week + 1) * WEEKLY + fees
    assert ledger_check(FRIDAY + week * WEEK) == []


def paid_until(week: int, host: User) -> None:
    """One payout for each week, paid; nothing is left, nothing is on its way."""
    payouts = Payout.objects.order_by("pk").values_list("state", "amount_micros")
    assert list(payouts) == [("paid", WEEKLY)] * (week + 1)
    assert (earnings(host), pending()) == (0, 0)


def test_two_that_make_payouts_make_one(providers: Providers, client_user: User, host_user: User) -> None:
    providers.paypal(host_user)
    open_on("machine:7", client_user, host_user, FRIDAY - HOUR, rate=100 * DOLLAR)
    services.weekly_runs(now=FRIDAY)
    made = race(
        lambda: locks.host_accounts([host_user.pk]),
        [lambda: services.payouts_create(now=FRIDAY), lambda: services.payouts_create(now=FRIDAY)],
    )
    assert sorted(made) == [0, 1]
    assert (earnings(host_user), pending()) == (0, 75 * DOLLAR)


def test_one_who_comes_a_week_late_pays_nothing_twice(providers: Providers, client_user: User, host_user: User) -> None:
    """A worker that began with last week's run waits while another pays this week's."""
    providers.paypal(host_user)
    open_on("machine:7", client_user, host_user, FRIDAY - HOUR, rate=100 * DOLLAR)
    services.weekly_runs(now=FRIDAY)

    def hold() -> None:
        locks.host_accounts([host_user.pk])
        services.weekly_runs(now=FRIDAY + WEEK)
        services.payouts_create(now=FRIDAY + WEEK)

    made = race(hold, [lambda: services.payouts_create(now=FRIDAY + WEEK)])
    assert made == [0]
    assert Payout.objects.get().amount_micros == 169 * 75 * DOLLAR
    assert earnings(host_user) == 0


def test_two_that_send_send_once(providers: Providers, client_user: User, host_user: User) -> None:
    providers.bank(host_user)
    payout = week_of(host_user, client_user, dollars=75)

    def send() -> bool:
        return services.payout_send(payout_id=payout.pk, now=FRIDAY)

    sent = race(lambda: Payout.objects.select_for_update().get(), [send, send])
    assert sorted(sent) == [False, True]
    assert len(providers.objects("transfer")) == len(providers.objects("payout")) == 1
    assert clearing("stripe") == 75 * DOLLAR
