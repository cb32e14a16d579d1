"""Weekly runs that are killed anywhere, or run twice at once."""

from datetime import datetime, timedelta

import pytest

from billing import locks, services
from billing.models import AccountKind, HostInvoice, WeeklyRun
from billing.selectors import ledger_check
from billing.services import weekly
from marketplace.models import Notice, User
from tests.billing.killing import Arm, at_commits, at_statements, killed_at_every_point
from tests.billing.ledger import posted_micros
from tests.billing.racing import race
from tests.billing.weeks import FRIDAY, HOUR, WEEK, open_on

pytestmark = pytest.mark.django_db(transaction=True)

HOURLY_NET = 270_000


@pytest.mark.parametrize(("arm", "least"), [(at_statements, 25), (at_commits, 5)])
def test_killed_at_every_point(client_user: User, host_user: User, arm: Arm, least: int) -> None:
    """Each week the run dies a point later; run again it ends with that week's one invoice and one mail."""
    open_on("machine:7", client_user, host_user, FRIDAY - HOUR)
    week = -1

    def run() -> None:
        services.weekly_runs(now=FRIDAY + week * WEEK)
        services.invoices_tell(now=FRIDAY + week * WEEK)

    week = 0
    for point in killed_at_every_point(arm, run):
        run()
        assert HostInvoice.objects.count() == Notice.objects.count() == point + 1
        week += 1
    assert week >= least
    nets = HostInvoice.objects.order_by("period_end").values_list("net_micros", flat=True)
    assert list(nets) == [HOURLY_NET] + [168 * HOURLY_NET] * week
    assert sum(nets) == posted_micros(AccountKind.HOST_EARNINGS, host_user)
    assert Notice.objects.count() == week + 1
    assert set(WeeklyRun.objects.values_list("state", flat=True)) == {"done"}
    assert ledger_check(FRIDAY + week * WEEK) == []


def test_two_runs_at_once_make_one_set_of_invoices(client_user: User, host_user: User) -> None:
    open_on("machine:7", client_user, host_user, FRIDAY - HOUR)
    runs = race(
        lambda: locks.client_accounts([client_user.pk]),
        [lambda: services.weekly_runs(now=FRIDAY), lambda: services.weekly_runs(now=FRIDAY + timedelta(seconds=1))],
    )
    assert [[run.period_end for run in finished] for finished in runs] == [[FRIDAY], [FRIDAY]]
    assert HostInvoice.objects.get().net_micros == HOURLY_NET
    run = WeeklyRun.objects.get()
    assert (run.state, run.invoices_count, run.net_micros) == ("done", 1, HOURLY_NET)
    assert ledger_check(FRIDAY) == []


def test_a_run_that_somebody_else_begins_meanwhile_is_helped(
    client_user: User, host_user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_on("machine:7", client_user, host_user, FRIDAY - HOUR)
    look = weekly._first_week_without_run

    def look_too_late() -> datetime | None:
        WeeklyRun.objects.get_or_create(
            period_end=FRIDAY, defaults={"period_start": FRIDAY - WEEK, "started_at": FRIDAY}
        )
        return look()

    monkeypatch.setattr(weekly, "_first_week_without_run", look_too_late)
    assert [run.period_end for run in services.weekly_runs(now=FRIDAY)] == [FRIDAY]
    assert HostInvoice.objects.get().net_micros == HOURLY_NET
