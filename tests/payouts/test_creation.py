"""Who is paid how much, and what carries over."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import services
from billing.domain.entries import EntryDraft, Line
from billing.domain.errors import MissingReasonError, NotStaffError, PayoutMethodError, PayoutStateError
from billing.domain.payouts import PayoutState, is_late, payable_micros
from billing.models import AccountKind, Payout, PayoutMethod
from billing.services.accounts import owned_account_ids, system_account_id
from billing.services.ledger import entries_post
from billing.services.payout_states import payout_move
from marketplace.models import User
from tests.billing.weeks import FRIDAY, HOUR, WEEK, open_on
from tests.payouts.earning import DOLLAR, earnings, earns, pending

pytestmark = pytest.mark.django_db


def ready(host: User, provider: str = "paypal") -> PayoutMethod:
    """The host can be paid; nobody is asked for that."""
    return PayoutMethod.objects.create(
        host=host, provider=provider, country="DE", account_id=f"A{host.pk}", state="ready", changed_at=FRIDAY
    )


def adjust(host: User, amount_micros: int, key: str) -> None:
    """Staff correct what a host has earned, at FRIDAY."""
    account_id = owned_account_ids(AccountKind.HOST_EARNINGS, [host.pk])[host.pk]
    lines = (Line(account_id, amount_micros), Line(system_account_id(AccountKind.ADJUSTMENTS), -amount_micros))
    entries_post([EntryDraft(idempotency_key=key, kind="adjustment", memo="x", occurred_at=FRIDAY, lines=lines)])


@given(st.integers(-(10**9), 10**12), st.integers(-(10**9), 10**12), st.integers(1, 10**5))
def test_what_is_payable(balance: int, later: int, minimum_cents: int) -> None:
    minimum = minimum_cents * 10_000
    amount = payable_micros(balance, later, minimum)
    if amount:
        assert amount % 10_000 == 0
        assert minimum <= amount <= min(balance, balance - later)
    assert min(balance, balance - later) - amount < minimum


def test_whole_cents_and_the_rest_carries_over(client_user: User, host_user: User) -> None:
    ready(host_user)
    open_on("machine:1", client_user, host_user, FRIDAY - HOUR, rate=20_011_111, share=10_000)
    services.weekly_runs(now=FRIDAY)
    assert services.payouts_create(now=FRIDAY) == 1
    payout = Payout.objects.get()
    assert (payout.amount_micros, payout.invoice) == (20_010_000, host_user.host_invoices.get())
    assert (earnings(host_user), pending()) == (1_111, 20_010_000)


def test_less_than_ten_dollars_carries_over(client_user: User, host_user: User) -> None:
    """$9.99 in the first week and $0.01 in the second; nobody had to be invoiced in the second."""
    ready(host_user)
    open_on("machine:1", client_user, host_user, FRIDAY - HOUR, rate=9_990_000, share=10_000)
    services.meter_close(reference="m", at=FRIDAY)
    services.weekly_runs(now=FRIDAY)
    assert services.payouts_create(now=FRIDAY) == 0
    adjust(host_user, 10_000, "a")
    assert services.payouts_create(now=FRIDAY) == 0  # written after the week was invoiced
    services.weekly_runs(now=FRIDAY + WEEK)
    assert services.payouts_create(now=FRIDAY + WEEK) == 1
    payout = Payout.objects.get()
    assert (payout.amount_micros, payout.invoice, payout.key) == (
        10 * DOLLAR,
        None,
        f"payout-20260313-{host_user.pk}",
    )


def test_once_a_week_and_not_what_was_earned_since(client_user: User, host_user: User) -> None:
    ready(host_user)
    earns(host_user, client_user, dollars=12)
    services.weekly_runs(now=FRIDAY)
    services.settle_running(now=FRIDAY + 5 * HOUR)
    assert services.payouts_create(now=FRIDAY + 6 * HOUR) == 1
    assert Payout.objects.get().amount_micros == 12 * DOLLAR
    assert services.payouts_create(now=FRIDAY + 6 * HOUR) == 0
    services.settle_running(now=FRIDAY + WEEK)
    services.weekly_runs(now=FRIDAY + WEEK)
    assert services.payouts_create(now=FRIDAY + WEEK) == 1
    amounts = Payout.objects.order_by("pk").values_list("amount_micros", flat=True)
    assert list(amounts) == [12 * DOLLAR, 168 * 12 * DOLLAR]


def test_what_was_taken_back_since_is_not_paid(client_user: User, host_user: User) -> None:
    ready(host_user)
    earns(host_user, client_user, dollars=30)
    services.weekly_runs(now=FRIDAY)
    adjust(host_user, -15 * DOLLAR, "a")
    services.payouts_create(now=FRIDAY)
    assert Payout.objects.get().amount_micros == 15 * DOLLAR


def test_who_is_not_paid(client_user: User, host_user: User, staff: User) -> None:
    """No method, one that is not ready, held by staff; each is paid for the same week once nothing is in the way."""
    earns(host_user, client_user, dollars=30)
    services.weekly_runs(now=FRIDAY)
    assert services.payouts_create(now=FRIDAY) == 0
    method = ready(host_user)
    PayoutMethod.objects.update(state="restricted")
    assert services.payouts_create(now=FRIDAY) == 0
    PayoutMethod.objects.update(state=method.state)
    services.payouts_hold(host_id=host_user.pk, actor=staff, reason="Chargeback fraud suspected.", now=FRIDAY)
    assert services.payouts_create(now=FRIDAY) == 0
    services.payouts_release(host_id=host_user.pk, actor=staff, now=FRIDAY)
    assert services.payouts_create(now=FRIDAY + 30 * HOUR) == 1


def test_a_hold_stops_what_is_not_sent(client_user: User, host_user: User, staff: User) -> None:
    ready(host_user)
    earns(host_user, client_user, dollars=30)
    services.weekly_runs(now=FRIDAY)
    services.payouts_create(now=FRIDAY)
    services.payouts_hold(host_id=host_user.pk, actor=staff, reason="x", now=FRIDAY)
    assert services.payouts_send(now=FRIDAY) == 0
    assert Payout.objects.get().state == "created"
    with pytest.raises(NotStaffError):
        services.payouts_release(host_id=host_user.pk, actor=host_user, now=FRIDAY)
    with pytest.raises(MissingReasonError):
        services.payouts_hold(host_id=host_user.pk, actor=staff, reason=" ", now=FRIDAY)


def test_only_the_ways_of_the_table(client_user: User, host_user: User) -> None:
    ready(host_user)
    earns(host_user, client_user, dollars=30)
    services.weekly_runs(now=FRIDAY)
    services.payouts_create(now=FRIDAY)
    payout, twin = Payout.objects.get(), Payout.objects.get()
    with pytest.raises(PayoutStateError):
        payout_move(payout=payout, to=PayoutState.PAID, now=FRIDAY)
    assert payout_move(payout=payout, to=PayoutState.FAILED, now=FRIDAY, reason="x" * 400)
    assert not payout_move(payout=twin, to=PayoutState.FAILED, now=FRIDAY)
    assert earnings(host_user) == 30 * DOLLAR


def test_unsent_payouts_are_late_after_four_days() -> None:
    assert not is_late("sending", FRIDAY, FRIDAY + timedelta(days=4))
    assert is_late("sending", FRIDAY, FRIDAY + timedelta(days=4, seconds=1))
    assert not is_late("sent", FRIDAY, FRIDAY + WEEK)


def test_without_keys_there_is_no_method(host_user: User) -> None:
    for country in ("US", "DE"):
        with pytest.raises(PayoutMethodError):
            services.method_choose(host=host_user, country=country, now=FRIDAY)
    assert not PayoutMethod.objects.exists()
