"""Whatever hosts earn and becomes of their payouts: what they have and what they got is what they earned."""

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import services
from billing.domain.payouts import PayoutState
from billing.models import AccountKind, HostInvoice, LedgerAccount, Payout, PayoutMethod
from billing.selectors import ledger_check
from billing.services.payout_states import payout_move
from marketplace.models import User
from tests.billing.weeks import FRIDAY, HOUR, WEEK, open_on
from tests.payouts.earning import clearing, earnings, pending

pytestmark = pytest.mark.django_db

MINIMUM = 10_000_000
FATES = {
    "waits": [],
    "fails": ["failed"],
    "dies": ["sending", "failed"],
    "goes": ["sending", "sent"],
    "arrives": ["sending", "sent", "paid"],
    "comes back": ["sending", "sent", "returned"],
    "comes back late": ["sending", "sent", "paid", "returned"],
}

weeks = st.tuples(
    st.integers(0, 40_000_000),
    st.sampled_from(sorted(FATES)),
    st.sampled_from(["ready", "ready", "ready", "restricted"]),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(weeks, min_size=1, max_size=6))
def test_what_is_earned_is_had_or_paid(client_user: User, host_user: User, story: list[tuple[int, str, str]]) -> None:
    with transaction.atomic():
        PayoutMethod.objects.create(
            host=host_user, provider="paypal", country="DE", account_id="A", state="ready", changed_at=FRIDAY
        )
        open_on("machine:1", client_user, host_user, FRIDAY - HOUR, rate=0, share=10_000)
        earned = 0
        for week, (micros, fate, method_state) in enumerate(story):
            now = FRIDAY + week * WEEK
            services.meter_set_rate(reference="m", rate_micros=micros, now=now - HOUR)
            services.meter_set_rate(reference="m", rate_micros=0, now=now)
            services.weekly_runs(now=now)
            earned += micros
            a_week_is_paid(week, fate, method_state)
            assert earnings(host_user) + pending() + clearing("paypal") == earned
            assert sum(HostInvoice.objects.values_list("net_micros", flat=True)) == earned
        assert ledger_check(FRIDAY) == []
        transaction.set_rollback(True)


def a_week_is_paid(week: int, fate: str, method_state: str) -> None:
    """Exactly the whole cents that are there, if that is enough and the host can be paid; then comes the fate."""
    now = FRIDAY + week * WEEK
    PayoutMethod.objects.update(state=method_state)
    host = PayoutMethod.objects.get().host
    had = earnings(host)
    due = had // 10_000 * 10_000 if had >= MINIMUM and method_state == "ready" else 0
    assert services.payouts_create(now=now) == bool(due)
    assert services.payouts_create(now=now) == 0
    assert earnings(host) == had - due
    if due:
        payout = Payout.objects.get(run__period_end=now)
        assert payout.amount_micros == due
        for number, state in enumerate(FATES[fate]):
            changes = {"transfer_id": f"t{week}", "sent_at": now} if state == "sent" else {}
            assert payout_move(payout=payout, to=PayoutState(state), now=now + number * HOUR, changes=changes)
        back = due if FATES[fate] and FATES[fate][-1] in ("failed", "returned") else 0
        assert earnings(host) == had - due + back
    assert not LedgerAccount.objects.filter(kind=AccountKind.CLIENT_CREDIT, owner=host).exists()
