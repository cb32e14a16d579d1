"""An amount is held for a case; the rest of what the host earned is paid as usual."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import services
from billing.domain.errors import HoldStateError, MissingReasonError, NotStaffError
from billing.domain.payout_holds import Held
from billing.domain.payouts import PayoutState, payable_micros
from billing.models import AdjustmentRequest, Payout, PayoutHold, PayoutMethod
from billing.selectors import ledger_check, payout_outlook
from billing.services.payout_states import payout_move
from marketplace.models import Notice, User
from tests.billing.conftest import MakeUser
from tests.billing.weeks import FRIDAY, HOUR, WEEK, open_on
from tests.payouts.earning import DOLLAR, earnings, pending

pytestmark = pytest.mark.django_db

NEXT = FRIDAY + WEEK


@pytest.fixture(autouse=True)
def _ready(host_user: User) -> None:
    PayoutMethod.objects.create(
        host=host_user, provider="paypal", country="DE", account_id="A", state="ready", changed_at=FRIDAY
    )


@pytest.fixture
def second(make_user: MakeUser) -> User:
    return make_user("second", is_staff=True)


def earn(payer: User, host: User, dollars: int, *, until: datetime = FRIDAY, machine: int = 7) -> None:
    """A machine earns in the hour to ``until``."""
    reference = f"{machine}:{until}"
    open_on(f"machine:{machine}", payer, host, until - HOUR, reference=reference, rate=dollars * DOLLAR, share=10_000)
    services.meter_close(reference=reference, at=until)


def hold(
    host: User, dollars: int, *, case: int = 1, machine: int = 7, since: datetime = FRIDAY - WEEK, at: datetime = FRIDAY
) -> PayoutHold:
    held = services.earnings_hold(
        host_id=host.pk,
        reference=f"case:{case}",
        earner=f"machine:{machine}",
        since=since,
        amount_micros=dollars * DOLLAR,
        reason=f"Case {case}.",
        now=at,
    )
    assert held is not None
    return held


def pay(now: datetime = FRIDAY) -> list[int]:
    """What is paid out by now, oldest first, whole dollars; recalled ones left out."""
    services.weekly_runs(now=now)
    services.payouts_create(now=now)
    paid = Payout.objects.exclude(state="recalled").order_by("pk").values_list("amount_micros", flat=True)
    return [micros // DOLLAR for micros in paid]


micros = st.integers(-(10**9), 10**12)


@given(micros, micros, st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 10**5))
def test_what_is_held_stays(balance: int, later: int, due: int, held_later: int, minimum_cents: int) -> None:
    held = Held(due + held_later, due)
    amount = payable_micros(balance, later, minimum_cents * 10_000, held)
    if amount:
        assert balance - amount >= max(held.amount_micros, later)
        assert amount <= payable_micros(balance, later, minimum_cents * 10_000)
    if later >= held_later and later >= 0:
        assert amount == payable_micros(balance - due, later, minimum_cents * 10_000), "and nothing else does"


def test_only_the_amount_is_held(client_user: User, host_user: User) -> None:
    earn(client_user, host_user, 40)
    earn(client_user, host_user, 100, machine=8)
    hold(host_user, 40)
    assert pay() == [100]
    outlook = payout_outlook(host_user, FRIDAY)
    assert (outlook.waiting_micros, outlook.held_micros, outlook.payable_micros) == (40 * DOLLAR, 40 * DOLLAR, 0)
    assert pay(NEXT) == [100]
    services.earnings_release_by_rule(reference="case:1", now=NEXT)
    assert pay(NEXT) == [100, 40]


def test_several_cases_add_up(client_user: User, host_user: User) -> None:
    earn(client_user, host_user, 40)
    earn(client_user, host_user, 100, machine=8)
    hold(host_user, 40)
    hold(host_user, 75, case=2, machine=8)
    hold(host_user, 75, case=2, machine=8)  # the same case again
    assert pay() == [25]


def test_a_window_that_reaches_beyond_the_week_holds_of_each_week_what_it_earned_then(
    client_user: User, host_user: User
) -> None:
    """$40 of the hold are of the week that is paid, $60 of the next, in which the host earns $500 besides."""
    earn(client_user, host_user, 40)
    earn(client_user, host_user, 100, machine=8)
    services.weekly_runs(now=FRIDAY)
    earn(client_user, host_user, 60, until=FRIDAY + HOUR)
    earn(client_user, host_user, 500, until=FRIDAY + HOUR, machine=8)
    hold(host_user, 100, at=FRIDAY + HOUR)
    services.payouts_create(now=FRIDAY + HOUR)
    assert Payout.objects.get().amount_micros == 100 * DOLLAR
    assert pay(NEXT) == [100, 500]
    assert earnings(host_user) == 100 * DOLLAR


def test_a_machine_that_earned_only_later_holds_nothing_of_the_week_before(client_user: User, host_user: User) -> None:
    earn(client_user, host_user, 100, machine=8)
    services.weekly_runs(now=FRIDAY)
    earn(client_user, host_user, 60, until=FRIDAY + HOUR)
    hold(host_user, 60, at=FRIDAY + HOUR)
    services.payouts_create(now=FRIDAY + HOUR)
    assert Payout.objects.get().amount_micros == 100 * DOLLAR


def test_what_was_paid_before_is_held_of_what_comes_next(client_user: User, host_user: User) -> None:
    earn(client_user, host_user, 40)
    assert pay() == [40]
    Payout.objects.update(state="sending", claimed_at=FRIDAY)
    hold(host_user, 40, at=FRIDAY + HOUR)
    assert payout_outlook(host_user, FRIDAY).held_micros == 0, "there is nothing yet"
    earn(client_user, host_user, 100, until=NEXT, machine=8)
    assert pay(NEXT) == [40, 60]


def test_a_payout_that_has_not_left_is_recalled_and_the_rest_paid_the_same_week(
    client_user: User, host_user: User
) -> None:
    earn(client_user, host_user, 40)
    earn(client_user, host_user, 100, machine=8)
    assert pay() == [140]
    hold(host_user, 40, at=FRIDAY + HOUR)
    old = Payout.objects.get()
    assert (old.state, old.reason) == ("recalled", "Part of it is held: Case 1.")
    assert (earnings(host_user), pending()) == (140 * DOLLAR, 0)
    assert pay(FRIDAY + HOUR) == [100]
    assert Payout.objects.latest("pk").key == f"{old.key}-2"
    assert pay(FRIDAY + 2 * HOUR) == [100], "the new one is not recalled"
    assert ledger_check(FRIDAY) == []
    assert not Notice.objects.filter(kind="payout_returned").exists()


def test_one_that_a_provider_had_no_time_for_is_recalled_too(client_user: User, host_user: User) -> None:
    """It was being sent when the hold began, and came back."""
    earn(client_user, host_user, 140)
    pay()
    payout = Payout.objects.get()
    payout_move(payout=payout, to=PayoutState.SENDING, now=FRIDAY, changes={"claimed_at": FRIDAY})
    hold(host_user, 40, at=FRIDAY + HOUR)
    payout.refresh_from_db()
    assert payout.state == "sending"
    payout_move(payout=payout, to=PayoutState.CREATED, now=FRIDAY + HOUR, reason="Busy.")
    assert pay(FRIDAY + HOUR) == [100]


def test_what_is_left_below_the_minimum_carries_over(client_user: User, host_user: User) -> None:
    earn(client_user, host_user, 40)
    earn(client_user, host_user, 9, machine=8)
    hold(host_user, 40)
    assert pay() == []
    assert payout_outlook(host_user, FRIDAY).obstacle == "Less than $10.00 carries over until there is as much."


def test_staff_release_what_was_upheld(client_user: User, host_user: User, staff: User) -> None:
    earn(client_user, host_user, 40)
    held = hold(host_user, 40)
    assert services.earnings_uphold_by_rule(reference="case:1")
    assert not services.earnings_uphold_by_rule(reference="case:1")
    assert pay() == []
    with pytest.raises(NotStaffError):
        services.earnings_release(hold_id=held.pk, actor=host_user, now=FRIDAY)
    services.earnings_release(hold_id=held.pk, actor=staff, now=FRIDAY)
    with pytest.raises(HoldStateError):
        services.earnings_release(hold_id=held.pk, actor=staff, now=FRIDAY)
    with pytest.raises(HoldStateError):
        services.earnings_release(hold_id=held.pk + 1, actor=staff, now=FRIDAY)
    assert not services.earnings_release_by_rule(reference="case:1", now=FRIDAY)
    assert pay() == [40]


def test_two_persons_keep_what_was_upheld(client_user: User, host_user: User, staff: User, second: User) -> None:
    earn(client_user, host_user, 140)
    held = hold(host_user, 40)
    refusals = [(HoldStateError, "x"), (MissingReasonError, " ")]
    for error, reason in refusals:
        with pytest.raises(error):
            services.earnings_forfeit(hold_id=held.pk, actor=staff, reason=reason, now=FRIDAY)
    services.earnings_uphold_by_rule(reference="case:1")
    asked = services.earnings_forfeit(hold_id=held.pk, actor=staff, reason="It was a fake.", now=FRIDAY)
    with pytest.raises(HoldStateError):
        services.earnings_forfeit(hold_id=held.pk, actor=staff, reason="Twice.", now=FRIDAY)
    assert (asked.state, asked.amount_micros, pay()) == ("requested", -40 * DOLLAR, [100])
    services.adjustment_approve(request_id=asked.pk, actor=second, now=FRIDAY)
    held.refresh_from_db()
    assert (held.state, earnings(host_user), ledger_check(FRIDAY)) == ("forfeited", 0, [])
    assert pay(NEXT) == [100]


def test_what_was_let_go_is_not_kept(client_user: User, host_user: User, staff: User, second: User) -> None:
    earn(client_user, host_user, 40)
    held = hold(host_user, 40)
    services.earnings_uphold_by_rule(reference="case:1")
    asked = services.earnings_forfeit(hold_id=held.pk, actor=staff, reason="x", now=FRIDAY)
    services.adjustment_reject(request_id=asked.pk, actor=second, now=FRIDAY)
    asked = services.earnings_forfeit(hold_id=held.pk, actor=staff, reason="x", now=FRIDAY)
    services.earnings_release(hold_id=held.pk, actor=second, now=FRIDAY)
    with pytest.raises(HoldStateError):
        services.adjustment_approve(request_id=asked.pk, actor=second, now=FRIDAY)
    assert (AdjustmentRequest.objects.latest("pk").state, earnings(host_user)) == ("requested", 40 * DOLLAR)


def test_no_more_is_kept_than_there_is(client_user: User, host_user: User, staff: User, second: User) -> None:
    """$50 are there of $40 and $30 that two cases hold; nothing makes the host owe us."""
    earn(client_user, host_user, 50)
    asked = []
    for case, dollars in ((1, 40), (2, 30)):
        held = hold(host_user, dollars, case=case)
        services.earnings_uphold_by_rule(reference=f"case:{case}")
        asked.append(services.earnings_forfeit(hold_id=held.pk, actor=staff, reason="x", now=FRIDAY))
    assert [request.amount_micros // DOLLAR for request in asked] == [-40, -10]
    for request in asked:
        services.adjustment_approve(request_id=request.pk, actor=second, now=FRIDAY)
    assert earnings(host_user) == 0
    held = hold(host_user, 30, case=3)
    services.earnings_uphold_by_rule(reference="case:3")
    with pytest.raises(HoldStateError, match="nothing now"):
        services.earnings_forfeit(hold_id=held.pk, actor=staff, reason="x", now=FRIDAY)


def test_nothing_is_nothing_to_hold(host_user: User) -> None:
    for amount in (0, -5):
        held = services.earnings_hold(
            host_id=host_user.pk,
            reference="case:1",
            earner="machine:7",
            since=FRIDAY,
            amount_micros=amount,
            reason="x",
            now=FRIDAY,
        )
        assert held is None


def test_the_nightly_proof_sees_a_hold_that_was_kept_without_a_request(client_user: User, host_user: User) -> None:
    earn(client_user, host_user, 40)
    held = hold(host_user, 40)
    asked = AdjustmentRequest.objects.create(
        key="6c1b3f8e-9d53-4c8e-8f1f-0d7f3a1c2b4d",
        kind="adjustment",
        account=host_user.ledger_accounts.get(),
        amount_micros=-1,
        reason="x",
        requested_by=host_user,
        requested_at=FRIDAY,
    )
    PayoutHold.objects.update(state="forfeited", ended_at=FRIDAY, forfeiture=asked)
    assert [item.code for item in ledger_check(FRIDAY)] == ["payout_holds_wrong"]
    assert str(held) == "case:1"
