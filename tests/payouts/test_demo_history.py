"""The demo's host has an invoice from the first minute, and is paid once it has said where to."""

from datetime import timedelta

import pytest

from billing import services
from billing.selectors import ledger_check
from marketplace.demo import history
from marketplace.models import User
from tests.billing.weeks import FRIDAY
from tests.payouts.providers import Providers
from tests.plumbing import market

pytestmark = pytest.mark.django_db


def test_last_week(providers: Providers, host_user: User) -> None:
    now = FRIDAY + timedelta(days=5)
    machine = market.listed_machine(host_user).machine
    for _ in range(2):
        history.last_week(machine, now)
    services.weekly_runs(now=now)
    invoice = host_user.host_invoices.get()
    assert (invoice.period_end, invoice.gross_micros, invoice.net_micros) == (FRIDAY, 48_109_600, 36_082_200)
    assert set(invoice.lines.values_list("earner", flat=True)) == {f"machine:{machine.pk}"}
    providers.bank(host_user)
    assert services.payouts_create(now=now) == 1
    assert services.payouts_send(now=now) == 1
    assert host_user.payouts.get().amount_micros == 36_080_000
    assert ledger_check(now) == []
