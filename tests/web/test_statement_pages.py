"""Pages and documents of monthly statements."""

from datetime import timedelta
from io import BytesIO
from typing import Any

import pypdf
import pytest
import time_machine
from django.test import Client

from billing.services import settle_running
from marketplace.models import Instance, User
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import text

pytestmark = pytest.mark.django_db
APRIL = T0.replace(month=4, day=1, hour=0)


@pytest.fixture
def rented(agent: TestAgent, renter: User) -> Instance:
    """Four GPUs for the last hour of March and the first of April."""
    start = APRIL - timedelta(hours=1)
    renter.full_name = "Renée 王小明"
    renter.save()
    instance = instance_rent(client=renter, offer_id=market.offer(agent, 4).pk, request=market.wish(), now=start)
    agent.obey(start)
    settle_running(now=APRIL)
    settle_running(now=APRIL + timedelta(hours=1))
    return instance


def at_two(user: User | None, address: str, **query: str) -> Any:
    """At two o'clock on the first of April; sessions of the beginning of March are over by then."""
    with time_machine.travel(APRIL + timedelta(hours=2), tick=False):
        browser = Client()
        if user is not None:
            browser.force_login(user)
        return browser.get(address, query)


def pdf_text(response: Any) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(BytesIO(response.content)).pages)


@pytest.mark.usefixtures("rented")
def test_the_list_leads_to_every_month(renter: User) -> None:
    response = at_two(renter, "/billing/statements/")
    shown = text(response)
    assert "April 2026 not over $0.00 -$2.00 $96.00" in shown
    assert "March 2026 $100.00 -$2.00 $98.00" in shown
    assert b'href="/billing/statements/2026-03/"' in response.content
    assert b'href="/billing/statements/2026-03.pdf"' in response.content
    assert "March 2026" in text(at_two(renter, "/billing/statements/", year="x" * 99))


def test_a_month_adds_up(renter: User, rented: Instance) -> None:
    shown = text(at_two(renter, "/billing/statements/2026-03/"))
    for fact in (
        "Opening balance $0.00",
        "Payments and credit $100.00",
        "Refunds, transfers and corrections $0.00",
        "Charges -$2.001389",
        "Closing balance $97.998611",
        f"instance {rented.pk} $2.00 $0.001389 $0.00 $2.001389",
        "2 Mar 2026 12:00:00 test Credit grant $100.00",
    ):
        assert fact in shown, fact
    assert "The month is not over." not in shown
    april = text(at_two(renter, "/billing/statements/2026-04/"))
    assert "Opening balance $97.998611" in april
    assert "The month is not over." in april


def test_a_month_as_a_document(renter: User, rented: Instance) -> None:
    response = at_two(renter, "/billing/statements/2026-03.pdf")
    assert response.headers["Content-Type"] == "application/pdf"
    assert response.headers["Content-Disposition"] == 'attachment; filename="statement-2026-03.pdf"'
    said = pdf_text(response)
    for fact in (
        "March 2026",
        "Renée WangXiaoMing",
        "renter@example.com",
        "2026-03-01 to 2026-03-31",
        f"Instance {rented.pk} $2.00 $0.001389 $0.00 $2.001389",
        "2026-03-02 12:00:00 Credit grant: test $100.00",
        "Charges -$2.001389",
        "Closing balance $97.998611",
        "Page 1 of",
    ):
        assert fact in said, fact
    assert "The month is not over" not in said
    assert "The month is not over: this is the account at 2026-04-01 02:00 UTC" in pdf_text(
        at_two(renter, "/billing/statements/2026-04.pdf")
    )


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "2026-05", "9999-01", "0000-01", "x", "2026-3", "-1"])
def test_what_is_no_month_is_not_there(renter: User, month: str) -> None:
    for address in (f"/billing/statements/{month}/", f"/billing/statements/{month}.pdf"):
        assert at_two(renter, address).status_code == 404


@pytest.mark.usefixtures("rented")
def test_nobody_sees_the_months_of_others(stranger: User) -> None:
    shown = text(at_two(stranger, "/billing/statements/2026-03/"))
    assert "Nothing was used." in shown
    assert "Closing balance $100.00" in shown
    for address in ("", "2026-03/", "2026-03.pdf"):
        response = at_two(None, f"/billing/statements/{address}")
        assert (response.status_code, "/accounts/login/" in response.headers["Location"]) == (302, True)


def test_an_account_without_any_credit() -> None:
    new = market.user("new@example.com")
    assert "No statements yet" in text(at_two(new, "/billing/statements/"))
    assert "Closing balance $0.00" in text(at_two(new, "/billing/statements/2026-03/"))


def test_a_month_of_many_things_is_summed_up(renter: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.web.statement_pdf.MOST_ROWS", 2)
    for _ in range(4):
        market.grant(renter, 5)
    said = pdf_text(at_two(renter, "/billing/statements/2026-03.pdf"))
    assert "3 more movements $15.00" in said
    assert "Together $120.00" in said
