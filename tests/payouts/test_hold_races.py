"""A hold and what pays, releases or keeps it, at once on connections of their own."""

from collections.abc import Callable

import pytest

from billing import locks, services
from billing.domain.errors import HoldStateError
from billing.models import Payout, PayoutHold, PayoutMethod
from billing.selectors import ledger_check
from marketplace.models import User
from tests.billing.conftest import MakeUser
from tests.billing.racing import race
from tests.billing.weeks import FRIDAY, HOUR
from tests.payouts.earning import DOLLAR, earnings, pending
from tests.payouts.test_holds import earn, hold

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _invoiced(client_user: User, host_user: User) -> None:
    """$40 that will be in doubt, and $100 that are not."""
    PayoutMethod.objects.create(
        host=host_user, provider="paypal", country="DE", account_id="A", state="ready", changed_at=FRIDAY
    )
    earn(client_user, host_user, 40)
    earn(client_user, host_user, 100, machine=8)
    services.weekly_runs(now=FRIDAY)


def locked(host: User) -> Callable[[], object]:
    return lambda: locks.host_accounts([host.pk])


def test_a_hold_against_two_payout_runs(host_user: User) -> None:
    """Whichever comes first, $100 are paid for the week, once, and $40 are held."""
    race(
        locked(host_user),
        [
            lambda: hold(host_user, 40, at=FRIDAY + HOUR),
            lambda: services.payouts_create(now=FRIDAY),
            lambda: services.payouts_create(now=FRIDAY),
        ],
    )
    services.payouts_create(now=FRIDAY + HOUR)
    (payout,) = Payout.objects.exclude(state="recalled")
    assert (payout.amount_micros, earnings(host_user), pending()) == (100 * DOLLAR, 40 * DOLLAR, 100 * DOLLAR)
    assert ledger_check(FRIDAY) == []


def test_the_same_case_twice_holds_once(host_user: User) -> None:
    race(locked(host_user), [lambda: hold(host_user, 40), lambda: hold(host_user, 40)])
    assert PayoutHold.objects.get().amount_micros == 40 * DOLLAR


def test_a_release_against_a_payout_run(host_user: User) -> None:
    hold(host_user, 40)
    race(
        locked(host_user),
        [
            lambda: services.earnings_release_by_rule(reference="case:1", now=FRIDAY),
            lambda: services.payouts_create(now=FRIDAY),
        ],
    )
    payout = Payout.objects.get()
    assert payout.amount_micros in (100 * DOLLAR, 140 * DOLLAR)
    assert earnings(host_user) + payout.amount_micros == 140 * DOLLAR


def test_let_go_and_kept_at_once(host_user: User, staff: User, make_user: MakeUser) -> None:
    """One of them happens, and the other is told so."""
    second = make_user("second", is_staff=True)
    held = hold(host_user, 40)
    services.earnings_uphold_by_rule(reference="case:1")
    asked = services.earnings_forfeit(hold_id=held.pk, actor=staff, reason="x", now=FRIDAY)
    results = race(
        locked(host_user),
        [
            lambda: services.adjustment_approve(request_id=asked.pk, actor=second, now=FRIDAY),
            lambda: services.earnings_release(hold_id=held.pk, actor=second, now=FRIDAY),
        ],
    )
    held.refresh_from_db()
    assert [isinstance(result, HoldStateError) for result in results] == [
        held.state == "released",
        held.state == "forfeited",
    ]
    assert earnings(host_user) == (140 if held.state == "released" else 100) * DOLLAR
    assert ledger_check(FRIDAY) == []


def test_two_who_keep_the_same_ask_once(host_user: User, staff: User) -> None:
    held = hold(host_user, 40)
    services.earnings_uphold_by_rule(reference="case:1")

    def ask() -> object:
        return services.earnings_forfeit(hold_id=held.pk, actor=staff, reason="x", now=FRIDAY)

    results = race(locked(host_user), [ask, ask])
    assert [isinstance(result, HoldStateError) for result in results].count(True) == 1
