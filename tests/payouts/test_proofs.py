"""The nightly proof finds invoices and payouts that differ from the ledger."""

import pytest

from billing import services
from billing.models import HostInvoice, HostInvoiceLine, Payout, PayoutMethod
from billing.selectors import ledger_check
from marketplace.models import User
from tests.billing.weeks import FRIDAY
from tests.payouts.earning import week_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def payout(host_user: User, client_user: User) -> Payout:
    PayoutMethod.objects.create(
        host=host_user, provider="paypal", country="DE", account_id="A", state="ready", changed_at=FRIDAY
    )
    payout = week_of(host_user, client_user, dollars=75)
    assert ledger_check(FRIDAY) == []
    return payout


def found() -> list[tuple[str, str]]:
    return [(item.code, item.message) for item in ledger_check(FRIDAY)]


def test_an_invoice_that_is_not_what_was_earned(payout: Payout, host_user: User) -> None:
    HostInvoice.objects.update(gross_micros=1_000_000, fee_micros=1_000_000, net_micros=0)
    number = HostInvoice.objects.get().number
    assert found() == [
        ("invoices_wrong", f"host {host_user.pk} has earned 75000000, its invoices say 0."),
        (
            "invoice_lines_wrong",
            f"invoice {number} says gross 1000000, net 0; its lines 100000001, 75000000.",
        ),
    ]
    assert payout.invoice is not None


def test_an_invoice_that_is_missing(payout: Payout, host_user: User) -> None:
    Payout.objects.update(invoice=None)
    HostInvoiceLine.objects.all().delete()
    HostInvoice.objects.all().delete()
    assert found() == [("invoices_wrong", f"host {host_user.pk} has earned 75000000, its invoices say 0.")]
    services.weekly_run_repeat(run_id=payout.run_id)
    assert found() == []
    services.weekly_runs(now=FRIDAY)
    assert found() == []


def test_a_payout_that_did_not_move_what_it_says(payout: Payout) -> None:
    Payout.objects.update(state="sent", transfer_id="t", sent_at=FRIDAY)
    assert found() == [
        ("payout_entries_wrong", f"payout {payout.pk} has no entry as payout_sent, it should have 75000000."),
        ("processor_wrong", "processor paypal has 0 in the ledger, payments and payouts say 75000000."),
    ]
    Payout.objects.update(state="created", amount_micros=70_000_000)
    assert found() == [("payout_entries_wrong", f"payout {payout.pk} has 75000000 as payout, it should have 70000000.")]
