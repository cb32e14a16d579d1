"""What hosts and staff see of amounts that are held."""

import pytest
import time_machine
from django.test import Client

from billing import services
from billing.models import AdjustmentRequest, HostInvoice, PayoutHold, PayoutMethod
from billing.selectors import held_by_invoice
from billing.web.invoice_pdf import invoice_document
from marketplace.models import User
from tests.billing.weeks import FRIDAY, HOUR
from tests.payouts.earning import DOLLAR
from tests.payouts.test_holds import earn, hold
from tests.web.pages import text

pytestmark = pytest.mark.django_db
HOLDS = "/admin/billing/payouthold/"


@pytest.fixture(autouse=True)
def _held(client_user: User, host_user: User) -> None:
    """A payout of $100, and $60 that are held, of which $40 are on the invoice."""
    PayoutMethod.objects.create(
        host=host_user, provider="paypal", country="DE", account_id="A", state="ready", changed_at=FRIDAY
    )
    earn(client_user, host_user, 40)
    earn(client_user, host_user, 100, machine=8)
    services.weekly_runs(now=FRIDAY)
    earn(client_user, host_user, 20, until=FRIDAY + HOUR)
    hold(host_user, 60, at=FRIDAY + HOUR)
    services.payouts_create(now=FRIDAY + HOUR)


@time_machine.travel(FRIDAY + HOUR)
def test_the_host_sees_how_much_is_held_and_why(client: Client, host_user: User) -> None:
    client.force_login(host_user)
    shown = text(client.get("/host/payouts/"))
    assert "Not paid out yet $60.00 $60.00 of it is held , $0.00 is paid as usual." in shown
    assert "6 Mar 2026 01:00 27 Feb 2026 00:00 Case 1. Held $60.00" in shown
    services.earnings_release_by_rule(reference="case:1", now=FRIDAY + HOUR)
    shown = text(client.get("/host/payouts/"))
    assert "of it is held" not in shown
    assert "Case 1. Released 6 Mar 2026 01:00 $60.00" in shown


def test_the_invoice_says_what_of_it_is_held(client: Client, host_user: User) -> None:
    client.force_login(host_user)
    invoice = HostInvoice.objects.get()
    page = f"/host/invoices/{invoice.number}/"
    assert "Held: $40.00. Case 1." in text(client.get(page))
    assert client.get(f"{page[:-1]}.pdf").status_code == 200
    document = invoice_document(host_user, invoice, [], held_by_invoice(invoice))
    assert document.notes[-1] == "Held of it: $40.00. Case 1."
    services.earnings_release_by_rule(reference="case:1", now=FRIDAY + HOUR)
    assert held_by_invoice(invoice) == []


def test_staff_see_it_and_decide(admin_client: Client) -> None:
    payouts = text(admin_client.get("/admin/billing/payout/"))
    assert "60.00 for case:1" in payouts
    shown = text(admin_client.get(HOLDS))
    for fact in ("case:1", "machine:7", "60.00", "Case 1."):
        assert fact in shown
    held = PayoutHold.objects.get()
    act = {"_selected_action": [held.pk], "action": "forfeit", "why": "It was a fake."}
    assert "only one that was upheld can be kept" in text(admin_client.post(HOLDS, act, follow=True))
    services.earnings_uphold_by_rule(reference="case:1")
    assert "waits for a second person" in text(admin_client.post(HOLDS, act, follow=True))
    asked = AdjustmentRequest.objects.get()
    assert (asked.amount_micros, asked.reason) == (-60 * DOLLAR, "It was a fake.")
    released = admin_client.post(HOLDS, {"_selected_action": [held.pk], "action": "release"}, follow=True)
    assert "case:1: released." in text(released)
