"""The parts of `make bench-billing` on a tiny ledger: they must work; how fast is not a test's business."""

import pytest

from billing.models import Entry, HostInvoice, LedgerAccount, Meter
from billing.selectors import exhausted_payers, ledger_check
from tests.benchmarks import (
    auction_world,
    billing_balances,
    billing_postings,
    billing_settlement,
    billing_weeks,
    billing_world,
)

CLIENTS = 12
pytestmark = pytest.mark.django_db(transaction=True, reset_sequences=True)


@pytest.fixture
def tiny_ledger() -> None:
    """Clients with one instance or two each."""
    billing_world.ledger_fill(instances=2 * CLIENTS - 1, clients=CLIENTS)


@pytest.mark.usefixtures("tiny_ledger")
def test_the_ledger_is_one_that_the_services_could_have_written() -> None:
    billing_world.ends_of_credit_write(CLIENTS)
    assert ledger_check(billing_world.START) == []
    assert LedgerAccount.objects.filter(zero_at__isnull=False).count() == CLIENTS


def test_settling_is_measured_on_what_is_settled_once() -> None:
    billing_world.ledger_fill(instances=CLIENTS, clients=CLIENTS)
    billing_world.ends_of_credit_write(CLIENTS)
    comparison = billing_settlement.settled(CLIENTS, 2)
    assert len(comparison.subject) == 2
    assert Entry.objects.filter(kind="usage").count() == 2 * Meter.objects.count()
    assert ledger_check(billing_world.START + 2 * billing_world.HOUR) == []


@pytest.mark.usefixtures("tiny_ledger")
def test_the_past_of_a_balance_is_a_past() -> None:
    billing_balances.past_write(30)
    account = LedgerAccount.objects.get(pk=billing_world.CLIENTS + 1)
    assert account.postings.count() == 31
    assert account.checkpoint_posting_id > 0
    assert min(billing_balances.balance_and_row(0.01)) > 0
    billing_world.ends_of_credit_write(CLIENTS)
    assert ledger_check(billing_world.START) == []


@pytest.mark.usefixtures("tiny_ledger")
def test_index_and_scan_find_the_same_clients() -> None:
    billing_world.ends_of_credit_write(CLIENTS)
    now = billing_balances.instant_when_depleted(5)
    assert len(exhausted_payers(now)) == 5
    assert billing_balances.scanned_payers(CLIENTS, now) == sorted(exhausted_payers(now))


def test_the_week_that_is_measured_is_invoiced_once() -> None:
    billing_world.ledger_fill(instances=CLIENTS, clients=CLIENTS // 2, hosts=CLIENTS)
    billing_world.settled_write(billing_weeks.WEEK_END)
    billing_world.ends_of_credit_write(CLIENTS // 2)
    assert ledger_check(billing_weeks.WEEK_END) == []
    assert len(billing_weeks.invoiced(CLIENTS, 2).subject) == 2
    ours = list(HostInvoice.objects.order_by("host").values_list("gross_micros", "net_micros"))
    assert len(ours) == CLIENTS
    auction_world.execute("TRUNCATE billing_hostinvoiceline, billing_hostinvoice, billing_weeklyrun CASCADE")
    run_id = billing_weeks.one_by_one_run()
    for number in range(1, CLIENTS + 1):
        billing_weeks.host_invoice(run_id, number)
    assert list(HostInvoice.objects.order_by("host").values_list("gross_micros", "net_micros")) == ours


@pytest.mark.usefixtures("tiny_ledger")
def test_postings_and_grants_that_are_measured_are_true() -> None:
    assert billing_postings.payments_post(0, 0.05) > 0
    assert billing_postings.credit_grant(1, 0.05) > 0
    assert set(Entry.objects.values_list("kind", flat=True)) == {"credit_grant", "adjustment"}
    billing_world.ends_of_credit_write(CLIENTS)
    assert ledger_check(billing_world.START) == []
