"""What hosts see and do, through Django's test client and the providers' pages."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import time_machine
from django.test import Client
from pytest_django.fixtures import Settings

from billing import services
from billing.models import Payout, PayoutMethod
from billing.selectors import ledger_check
from marketplace.models import Notice, User
from marketplace.services.notice_mails import notice_mails_send
from tests.billing.opening import open_traffic
from tests.billing.weeks import FRIDAY, HOUR, WEEK, open_on
from tests.payouts.earning import DOLLAR, clearing, earnings, pending, week_of
from tests.payouts.providers import Providers
from tests.web.pages import HTMX, text

pytestmark = pytest.mark.django_db

PAYOUTS = "/admin/billing/payout/"
MONTH = timedelta(days=30)


@pytest.fixture
def web(client: Client, host_user: User, settings: Settings) -> Client:
    """A browser of the host."""
    settings.SITE_URL = "http://testserver"
    client.force_login(host_user)
    return client


@pytest.fixture
def invoiced(client_user: User, host_user: User) -> str:
    """The number of an invoice with two machines."""
    open_on("machine:12", client_user, host_user, FRIDAY - 2 * HOUR, reference="a", rate=1_000_001)
    open_on("machine:7", client_user, host_user, FRIDAY - HOUR, reference="b", kind="storage", rate=40)
    open_traffic("up", client_user, host_user, FRIDAY - HOUR)
    services.traffic_count(reference="up", bytes_total=1_500_000_000, now=FRIDAY - HOUR)
    services.weekly_runs(now=FRIDAY)
    return f"20260306-{host_user.pk}"


def test_a_host_without_anything(web: Client) -> None:
    shown = text(web.get("/host/payouts/"))
    for fact in (
        "Test mode: no money moves.",
        "Not paid out yet $0.00 You have not finished setting up where your money goes.",
        "Nothing was paid out yet.",
        "The first comes on the Friday after your machines have earned something.",
    ):
        assert fact in shown, fact


def test_a_bank_account_is_set_up(web: Client, providers: Providers, host_user: User) -> None:
    sent_to = web.post("/host/payouts/method/", {"country": "US"}, headers=HTMX).headers["HX-Redirect"]
    assert sent_to.startswith(f"{providers.url}/setup/e/")
    back = providers.submit(sent_to, account_number="000123456789", act="complete")
    assert back == "http://testserver/host/payouts/stripe/return/"
    assert web.get(urlsplit(back).path, follow=True).redirect_chain == [("/host/payouts/", 302)]
    shown = text(web.get("/host/payouts/"))
    assert "Where it goes Ready" in shown
    assert "STRIPE TEST BANK ••6789" in shown
    assert PayoutMethod.objects.get(host=host_user).state == "ready"


def test_a_link_that_was_used_leads_to_another(web: Client, providers: Providers) -> None:
    first = web.post("/host/payouts/method/", {"country": "US"}).headers["Location"]
    providers.submit(first, account_number="000123456789", act="complete")
    again = providers.get(first)
    assert again == "http://testserver/host/payouts/stripe/"
    second = web.get(urlsplit(again).path).headers["Location"]
    assert second.startswith(providers.url)
    assert second != first
    assert len(providers.objects("account")) == 1


def test_a_paypal_account_is_linked(web: Client, providers: Providers) -> None:
    sent_to = web.post("/host/payouts/method/", {"country": "DE"}, headers=HTMX).headers["HX-Redirect"]
    back = urlsplit(providers.submit(sent_to, email="hugo@example.com", act="agree"))
    web.get(f"{back.path}?{back.query}")
    assert "PayPal: hugo@example.com" in text(web.get("/host/payouts/"))
    # The same answer again was finished already, and one with another state was not begun here.
    for query in (back.query, "code=x&state=y", ""):
        answer = web.get(f"{back.path}?{query}", follow=True)
        assert "This sign-in was not begun here" in text(answer)


def test_who_cancels_changes_nothing(web: Client, providers: Providers) -> None:
    sent_to = web.post("/host/payouts/method/", {"country": "DE"}, headers=HTMX).headers["HX-Redirect"]
    back = urlsplit(providers.submit(sent_to, act="cancel"))
    assert "Nothing was changed." in text(web.get(f"{back.path}?{back.query}", follow=True))
    assert PayoutMethod.objects.get().state == "pending"


def test_an_account_of_someone_else_cannot_be_planted(
    web: Client, providers: Providers, host_user: User, staff: User
) -> None:
    """A code that a stranger got for its own account does nothing in the host's browser."""
    stranger = Client()
    stranger.force_login(staff)
    sent_to = stranger.post("/host/payouts/method/", {"country": "DE"}, headers=HTMX).headers["HX-Redirect"]
    planted = urlsplit(providers.submit(sent_to, email="stranger@example.com", act="agree"))
    web.post("/host/payouts/method/", {"country": "DE"}, headers=HTMX)
    web.get(f"{planted.path}?{planted.query}")
    assert PayoutMethod.objects.get(host=host_user).account_id == ""


def test_another_country_begins_anew(web: Client, providers: Providers, host_user: User) -> None:
    providers.bank(host_user)
    web.post("/host/payouts/method/", {"country": "DE"}, headers=HTMX)
    method = PayoutMethod.objects.get(host=host_user)
    assert (method.provider, method.state, method.account_id, method.setup) == ("paypal", "pending", "", 2)
    assert web.post("/host/payouts/method/", {"country": "XX"}).status_code == 422


def test_without_keys(web: Client) -> None:
    answer = web.post("/host/payouts/method/", {"country": "DE"}, headers=HTMX)
    assert "cannot pay to this country yet" in answer.headers["HX-Trigger"]


@pytest.mark.usefixtures("providers")
def test_a_provider_that_is_away(web: Client, providers: Providers) -> None:
    providers.go_wrong("refuse", "/v1/accounts")
    answer = web.post("/host/payouts/method/", {"country": "US"}, headers=HTMX)
    assert "try again in a moment" in answer.headers["HX-Trigger"]


def test_payouts_and_invoices_are_listed(web: Client, providers: Providers, host_user: User, client_user: User) -> None:
    providers.paypal(host_user)
    providers.control("/paypal/plan", next=["UNCLAIMED"])
    week_of(host_user, client_user, dollars=75)
    services.payouts_send(now=FRIDAY + HOUR)
    services.payouts_look(now=FRIDAY + 2 * HOUR)
    with time_machine.travel(FRIDAY + 3 * HOUR, tick=False):
        shown = text(web.get("/host/payouts/"))
    assert "6 Mar 2026 PayPal Sent Waiting to be claimed" in shown
    assert "6 Mar 2026 01:00 $75.00" in shown
    assert f"6 Mar 2026 20260306-{host_user.pk} $100.00 $25.00 $75.00 PDF" in shown
    assert "Less than $10.00 carries over" in shown


def test_why_it_is_not_paid(web: Client, providers: Providers, host_user: User, client_user: User, staff: User) -> None:
    providers.bank(host_user)
    open_on("machine:1", client_user, host_user, FRIDAY - HOUR, rate=80_000_000)
    services.weekly_runs(now=FRIDAY)
    with time_machine.travel(FRIDAY + HOUR, tick=False):
        assert "$60.00 What you earn until 13 Mar 2026, 00:00 UTC" in text(web.get("/host/payouts/"))
        services.payouts_hold(host_id=host_user.pk, actor=staff, reason="Your address is checked.", now=FRIDAY)
        assert "Payouts are held: Your address is checked." in text(web.get("/host/payouts/"))
        services.payouts_release(host_id=host_user.pk, actor=staff, now=FRIDAY)
        PayoutMethod.objects.update(state="restricted", problem="rejected.other")
        shown = text(web.get("/host/payouts/"))
    assert "Your account cannot be paid to now." in shown
    assert "rejected.other" in shown


def test_an_invoice(web: Client, invoiced: str) -> None:
    shown = text(web.get(f"/host/invoices/{invoiced}/"))
    assert "27 Feb 2026 00:00 to 6 Mar 2026 00:00, UTC" in shown
    assert "Clients paid $2.015042 Marketplace's fee -$0.503761 You earned $1.511281" in shown
    assert "Other Traffic 1.500 GB $0.015 $0.00375 $0.01125" in shown
    assert "Machine 7 Storage 1.000 hours $0.00004 $0.00001 $0.00003" in shown
    assert "Machine 12 GPU time 2.000 hours $2.000002" in shown


def test_an_invoice_as_csv(web: Client, invoiced: str) -> None:
    answer = web.get(f"/host/invoices/{invoiced}.csv")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="invoice-{invoiced}.csv"'
    lines = b"".join(answer.streaming_content).decode().splitlines()  # type: ignore[attr-defined]  # a streaming answer
    assert lines == [
        "invoice,machine,use,quantity,unit,gross_dollars,fee_dollars,net_dollars",
        f"{invoiced},Other,traffic,1.500,GB,0.015,0.00375,0.01125",
        f"{invoiced},Machine 7,storage,1.000,hours,0.00004,0.00001,0.00003",
        f"{invoiced},Machine 12,gpu,2.000,hours,2.000002,0.500001,1.500001",
    ]


def test_an_invoice_as_pdf(web: Client, invoiced: str) -> None:
    first, second = (web.get(f"/host/invoices/{invoiced}.pdf").content for _ in range(2))
    assert first.startswith(b"%PDF-")
    assert first == second


@pytest.mark.parametrize("ending", ["/", ".pdf", ".csv"])
def test_nobody_sees_the_invoices_of_others(client_user: User, invoiced: str, ending: str) -> None:
    other = Client()
    other.force_login(client_user)
    assert other.get(f"/host/invoices/{invoiced}{ending}").status_code == 404
    assert other.get(f"/host/invoices/nothing{ending}").status_code == 404


def test_mails_lead_to_the_page(mailoutbox: list[object], invoiced: str) -> None:
    services.invoices_tell(now=FRIDAY)
    assert notice_mails_send(now=FRIDAY, fraction=lambda: 0.5) == 1
    assert "/host/payouts/" in mailoutbox[0].body  # type: ignore[attr-defined]  # a mail
    assert Notice.objects.get().subject == f"Invoice {invoiced}: $1.51 earned"


@pytest.fixture
def queue(providers: Providers, host_user: User, client_user: User) -> tuple[Client, Payout]:
    """A browser of staff, and a payout that waits because there is no money."""
    providers.bank(host_user)
    providers.control("/stripe/platform", cents=0)
    payout = week_of(host_user, client_user, dollars=75)
    services.payouts_send(now=FRIDAY)
    browser = Client()
    browser.force_login(User.objects.create_superuser("boss@example.com", "pass"))
    return browser, payout


def act(browser: Client, path: str, action: str, pk: int, **fields: str) -> str:
    return text(browser.post(path, {"action": action, "_selected_action": [pk]} | fields, follow=True))


def test_staff_hold_release_and_try_again(queue: tuple[Client, Payout], providers: Providers) -> None:
    browser, payout = queue
    path = PAYOUTS
    assert "Payouts of 1 hosts are held" in act(browser, path, "hold", payout.pk)
    assert services.payouts_send(now=FRIDAY + 2 * HOUR) == 0
    assert "not held any more" in act(browser, path, "release", payout.pk)
    providers.control("/stripe/platform", cents=7500)
    with time_machine.travel(FRIDAY + HOUR / 2, tick=False):
        assert "1 payouts are sent within a minute" in act(browser, path, "try_again", payout.pk)
    assert services.payouts_send(now=FRIDAY + HOUR / 2) == 1


def test_staff_see_what_is_late(queue: tuple[Client, Payout]) -> None:
    browser, payout = queue
    with time_machine.travel(FRIDAY + WEEK / 2, tick=False):
        assert payout.key not in text(browser.get("/admin/billing/payout/?late=yes"))
    with time_machine.travel(FRIDAY + WEEK, tick=False):
        assert payout.key in text(browser.get("/admin/billing/payout/?late=yes"))
    assert "insufficient" in text(browser.get(f"/admin/billing/payout/{payout.pk}/change/"))


def test_staff_run_a_week_again(queue: tuple[Client, Payout]) -> None:
    browser, payout = queue
    assert "1 weeks are run again" in act(browser, "/admin/billing/weeklyrun/", "run_again", payout.run_id)
    assert [run.pk for run in services.weekly_runs(now=FRIDAY)] == [payout.run_id]
    assert payout.invoice is not None
    for page in ("weeklyrun", "hostinvoice", "payoutmethod"):
        assert browser.get(f"/admin/billing/{page}/").status_code == 200
    assert browser.get(f"/admin/billing/hostinvoice/{payout.invoice.pk}/change/").status_code == 200


@pytest.fixture
def forgotten(queue: tuple[Client, Payout], providers: Providers) -> tuple[Client, Payout]:
    """The payout left, its provider's answer was lost, and nobody asked again for a month."""
    _, payout = queue
    providers.go_wrong("lose_answer", "/v1/payouts")
    providers.control("/stripe/platform", cents=7500)
    services.payout_retry(payout_id=payout.pk, now=FRIDAY)
    services.payouts_send(now=FRIDAY + HOUR)
    assert services.payouts_send(now=FRIDAY + MONTH) == 0
    return queue


def test_staff_find_a_forgotten_payout(forgotten: tuple[Client, Payout], providers: Providers, host_user: User) -> None:
    browser, payout = forgotten
    found = {"transfer_id": providers.objects("transfer")[0]["id"], "item_id": providers.objects("payout")[0]["id"]}
    with time_machine.travel(FRIDAY + timedelta(days=28), tick=False):
        assert "is not one that its provider can't be asked about" in act(
            browser, PAYOUTS, "declare_sent", payout.pk, **found
        )
    with time_machine.travel(FRIDAY + MONTH, tick=False):
        assert "give the id under which" in act(browser, PAYOUTS, "declare_sent", payout.pk)
        assert f"{payout.key} is sent" in act(browser, PAYOUTS, "declare_sent", payout.pk, **found)
    services.payouts_look(now=FRIDAY + MONTH + HOUR)
    payout.refresh_from_db()
    assert payout.state == "paid"
    assert (earnings(host_user), pending(), clearing("stripe")) == (0, 0, 75 * DOLLAR)
    assert ledger_check(FRIDAY + MONTH) == []


def test_staff_find_that_a_forgotten_payout_never_left(forgotten: tuple[Client, Payout], host_user: User) -> None:
    browser, payout = forgotten
    with time_machine.travel(FRIDAY + MONTH, tick=False):
        assert f"{payout.key} is failed" in act(browser, PAYOUTS, "declare_lost", payout.pk)
        assert "is not one that its provider can't be asked about" in act(browser, PAYOUTS, "declare_lost", payout.pk)
    last = payout.events.order_by("-pk")[0]
    assert (last.new_state, last.actor is not None) == ("failed", True)
    assert (earnings(host_user), pending(), clearing("stripe")) == (75 * DOLLAR, 0, 0)
    assert ledger_check(FRIDAY + MONTH) == []
