"""Whatever the order of earning, cases, decisions and payouts: what was earned is paid, held, payable or kept."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import services
from billing.domain.errors import HoldStateError
from billing.domain.payouts import PayoutState
from billing.models import AdjustmentRequest, Payout, PayoutHold, PayoutMethod
from billing.selectors import earnings_by, ledger_check, payout_outlook
from billing.services.payout_states import payout_move
from marketplace.models import User
from tests.billing.weeks import FRIDAY, HOUR, open_on
from tests.payouts.earning import earnings, pending

pytestmark = pytest.mark.django_db

MACHINES = ("machine:1", "machine:2")
ACTS = (
    *("earn", "earn", "earn", "open", "open", "week_and_pay", "week_and_pay", "pay", "week"),
    *("uphold", "overturn", "release", "forfeit", "agree", "send", "busy", "fail"),
)
AMOUNTS = (1, 333_333, 4_999_999, 10_000_000, 12_345_678, 37_000_001, 60_006_789, 120_000_001)
steps = st.tuples(st.sampled_from(ACTS), st.sampled_from(MACHINES), st.sampled_from(AMOUNTS))


@dataclass
class World:
    """A host of two machines, and what has become of what they earned."""

    payer: User
    host: User
    staff: list[User]
    now: datetime = FRIDAY
    earned: int = 0
    kept: int = 0
    since: dict[str, datetime] = field(default_factory=dict)

    def earn(self, machine: str, micros: int) -> None:
        reference = f"{machine}:{self.now}"
        open_on(machine, self.payer, self.host, self.now, reference=reference, rate=micros, share=10_000)
        self.now += HOUR
        services.meter_close(reference=reference, at=self.now)
        self.earned += micros

    def open(self, machine: str, _: int) -> None:
        since = self.since.get(machine, FRIDAY - HOUR)
        use = earnings_by(self.host, ["earner"], since, self.now, self.now, machine)
        services.earnings_hold(
            host_id=self.host.pk,
            reference=f"case:{PayoutHold.objects.count()}",
            earner=machine,
            since=since,
            amount_micros=sum(one.amount_micros for one in use),
            reason="x",
            now=self.now,
        )
        self.since[machine] = self.now

    def uphold(self, _: str, number: int) -> None:
        services.earnings_uphold_by_rule(reference=f"case:{number % 4}")

    def overturn(self, _: str, number: int) -> None:
        services.earnings_release_by_rule(reference=f"case:{number % 4}", now=self.now)

    def release(self, _: str, number: int) -> None:
        hold = PayoutHold.objects.filter(reference=f"case:{number % 4}").first()
        services.earnings_release(hold_id=hold.pk if hold else 0, actor=self.staff[0], now=self.now)

    def forfeit(self, _: str, number: int) -> None:
        hold = PayoutHold.objects.filter(reference=f"case:{number % 4}").first()
        services.earnings_forfeit(hold_id=hold.pk if hold else 0, actor=self.staff[0], reason="x", now=self.now)

    def agree(self, *_: object) -> None:
        asked = AdjustmentRequest.objects.filter(state="requested").first()
        if asked is not None:
            services.adjustment_approve(request_id=asked.pk, actor=self.staff[1], now=self.now)
            self.kept -= asked.amount_micros

    def pay(self, *_: object) -> None:
        before = {hold.pk for hold in PayoutHold.objects.filter(state__in=("held", "upheld"))}
        made = services.payouts_create(now=self.now)
        if made and before:
            outlook = payout_outlook(self.host, self.now)
            amounts = PayoutHold.objects.filter(pk__in=before).values_list("amount_micros", flat=True)
            assert outlook.held_micros == sum(amounts), "a payout leaves all that is held"

    def send(self, *_: object) -> None:
        self._walk(PayoutState.CREATED, PayoutState.SENDING)

    def busy(self, *_: object) -> None:
        self._walk(PayoutState.SENDING, PayoutState.CREATED)

    def fail(self, *_: object) -> None:
        self._walk(PayoutState.SENDING, PayoutState.FAILED)

    def week(self, *_: object) -> None:
        self.now += 24 * 7 * HOUR
        services.weekly_runs(now=self.now)

    def week_and_pay(self, *_: object) -> None:
        self.week()
        self.pay()

    def _walk(self, old: PayoutState, new: PayoutState) -> None:
        payout = Payout.objects.filter(state=old).first()
        if payout is not None:
            payout_move(payout=payout, to=new, now=self.now)

    def check(self) -> None:
        """Paid, held, payable and kept are all that was earned, at each instant."""
        paid = sum(Payout.objects.filter(state__in=("created", "sending")).values_list("amount_micros", flat=True))
        outlook = payout_outlook(self.host, self.now)
        assert outlook.payable_micros >= 0
        assert paid + outlook.held_micros + outlook.payable_micros + self.kept == self.earned
        assert (earnings(self.host), pending()) == (self.earned - paid - self.kept, paid)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(steps, min_size=10, max_size=30))
def test_nothing_is_paid_twice_or_lost(
    client_user: User, host_user: User, staff: User, story: list[tuple[str, str, int]]
) -> None:
    with transaction.atomic():
        PayoutMethod.objects.create(
            host=host_user, provider="paypal", country="DE", account_id="A", state="ready", changed_at=FRIDAY
        )
        world = World(client_user, host_user, [staff, User.objects.create(email="b@example.com", is_staff=True)])
        for act, machine, number in story:
            with suppress(HoldStateError):
                getattr(world, act)(machine, number)
            world.check()
        every_case_ends(world)
        transaction.set_rollback(True)


def every_case_ends(world: World) -> None:
    """What was not kept is paid in the end, but for what is less than the minimum."""
    for hold in PayoutHold.objects.filter(state__in=("held", "upheld")):
        services.earnings_release(hold_id=hold.pk, actor=world.staff[0], now=world.now)
    world.week()
    world.pay()
    world.check()
    assert earnings(world.host) < 10_000_000
    assert ledger_check(world.now) == []
