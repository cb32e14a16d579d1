"""The payment page: buying, cards, auto-billing, receipts, and what staff do in the admin."""

from urllib.parse import urlsplit

import pytest
import requests
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from billing.models import AutoBilling, Card, Payment, PaymentRefund
from marketplace.models import User
from tests.payments.till import ASKS_ALWAYS, DOLLAR, GOOD, LATER_DECLINED, Till
from tests.web.pages import field_errors, text

pytestmark = pytest.mark.django_db

PAGE = "/billing/payment/"


@pytest.fixture
def web(client: Client, till: Till) -> Client:
    client.force_login(till.user)
    return client


def follow_back(web: Client, till: Till, page: str, number: str, **form: str) -> str:
    """Fill in the provider's page and come back as the browser does; what the payment page shows then."""
    back = urlsplit(till.provider.type_card(page, number, **form).headers["location"])
    assert back.netloc == "testserver"
    return text(web.get(f"{back.path}?{back.query}", follow=True))


def test_credit_is_bought(web: Client, till: Till) -> None:
    shown = text(web.get(PAGE))
    assert "Test mode. No real money moves." in shown
    assert "No payments yet." in shown
    leave = web.post(f"{PAGE}buy/", {"amount": "$50", "key": "7d5bdbb4-0f0c-4f0e-9d0f-0b7c1d6a1c11"})
    assert (leave.status_code, leave["location"].startswith(till.provider.url)) == (302, True)
    assert "Waiting for your payment" in text(web.get(PAGE))
    shown = follow_back(web, till, leave["location"], GOOD)
    assert "Credit bought Paid Receipt $50.00" in shown
    assert till.balance() == 50 * DOLLAR
    again = web.post(f"{PAGE}buy/", {"amount": "$50", "key": "7d5bdbb4-0f0c-4f0e-9d0f-0b7c1d6a1c11"})
    assert (again.status_code, Payment.objects.count()) == (302, 1)


@pytest.mark.parametrize(
    ("amount", "said"),
    [("", "required"), ("ten", "not an amount"), ("4.99", "between $5.00"), ("5.001", "whole cents")],
)
def test_amounts_that_are_refused_are_told_beside_the_field(web: Client, amount: str, said: str) -> None:
    refused = web.post(f"{PAGE}buy/", {"amount": amount, "key": "7d5bdbb4-0f0c-4f0e-9d0f-0b7c1d6a1c11"})
    assert refused.status_code == 422
    assert said in field_errors(refused, "amount")
    assert not Payment.objects.exists()


def test_a_card_is_saved_and_charged_by_itself(web: Client, till: Till) -> None:
    page = web.post(f"{PAGE}cards/add/")["location"]
    shown = follow_back(web, till, page, GOOD)
    assert "visa •••• 4242 auto-billing until 12/2040" in shown
    terms = {"enabled": "on", "threshold": "10", "mode": "fixed", "amount": "40"}
    assert web.post(f"{PAGE}auto/", terms).status_code == 302
    till.charge_due()
    till.webhooks()
    assert "Auto-billing visa •••• 4242 Paid Receipt $40.00" in text(web.get(PAGE))
    card = Card.objects.get()
    assert web.post(f"{PAGE}cards/{card.pk}/remove/").status_code == 302
    shown = text(web.get(PAGE))
    assert "Auto-billing was turned off: no card is saved." in shown
    assert not AutoBilling.objects.get().enabled


def test_auto_billing_needs_a_card(web: Client) -> None:
    refused = web.post(f"{PAGE}auto/", {"enabled": "on", "threshold": "10", "mode": "fixed", "amount": "40"})
    assert "Save a card first" in field_errors(refused, "enabled")


def test_a_payment_is_confirmed_in_person(web: Client, till: Till) -> None:
    till.save_card(ASKS_ALWAYS)
    till.auto_billing()
    till.charge_due()
    till.webhooks()
    assert "Your bank wants you to confirm" in text(web.get(PAGE))
    leave = web.post(f"{PAGE}{Payment.objects.get().pk}/confirm/")
    shown = follow_back(web, till, leave["location"], ASKS_ALWAYS, bank="confirm")
    assert "Paid Receipt $20.00" in shown
    assert "Your bank wants you to confirm" not in shown


def test_a_refused_card_is_told(web: Client, till: Till) -> None:
    till.save_card(LATER_DECLINED)
    till.auto_billing()
    till.charge_due()
    shown = text(web.get(PAGE))
    assert "Your card was refused. We try again at 6 Mar 2026 13:00 UTC." in shown
    assert "Declined Your card was declined." in shown


def test_nobody_touches_what_is_not_theirs(web: Client, till: Till) -> None:
    payment = till.buy(50)
    till.webhooks()
    card = till.save_card()
    stranger = Client()
    stranger.force_login(User.objects.create(email="stranger@example.com"))
    assert stranger.get(f"{PAGE}{payment.pk}/receipt.pdf").status_code == 404
    for path in (f"cards/{card.pk}/remove/", f"cards/{card.pk}/default/", f"{payment.pk}/confirm/"):
        stranger.post(f"{PAGE}{path}")
    assert selectors_cards(till) == [card.pk]
    assert stranger.get(f"{PAGE}returned/?paid={payment.key}").status_code == 302
    assert Client().get(PAGE).status_code == 302
    assert web.get(f"{PAGE}{payment.pk}/receipt.pdf").status_code == 200


def selectors_cards(till: Till) -> list[int]:
    return list(Card.objects.filter(owner=till.user, removed_at=None, is_default=True).values_list("pk", flat=True))


def test_the_receipt_is_a_pdf_of_what_was_paid(web: Client, till: Till) -> None:
    payment = till.begin(50)
    assert web.get(f"{PAGE}{payment.pk}/receipt.pdf").status_code == 404
    till.provider.type_card(payment.page_url, GOOD)
    till.webhooks()
    receipt = web.get(f"{PAGE}{payment.pk}/receipt.pdf")
    assert (receipt["content-type"], receipt.content[:5]) == ("application/pdf", b"%PDF-")


def test_the_provider_being_away_is_said(web: Client, till: Till) -> None:
    till.provider.control("/faults", kind="error", path="/v1/", times=100)
    said = web.post(
        f"{PAGE}buy/", {"amount": "50", "key": "7d5bdbb4-0f0c-4f0e-9d0f-0b7c1d6a1c11"}, headers={"Referer": PAGE}
    )
    requests.delete(f"{till.provider.url}/_sandbox/faults", timeout=20)
    assert said.status_code == 302
    assert "The payment provider can't be reached" in text(web.get(PAGE))


def test_without_a_provider_nothing_is_offered(web: Client, settings: Settings) -> None:
    settings.STRIPE_SECRET_KEY = ""
    assert "No payment provider is set up here" in text(web.get(PAGE))


def test_forms_may_lead_to_the_providers_pages_only(web: Client) -> None:
    policy = web.get(PAGE)["content-security-policy"]
    assert "form-action 'self' https://checkout.stripe.com" in policy


def test_staff_refunds_in_the_admin(
    till: Till, staff: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    payment = till.buy(50)
    till.webhooks()
    admin = Client()
    admin.force_login(staff)
    page = text(admin.get(f"/admin/billing/payment/{payment.pk}/change/"))
    assert "Refund this payment" in page
    key = "7d5bdbb4-0f0c-4f0e-9d0f-0b7c1d6a1c11"
    form = {"payment_number": payment.pk, "amount": "20", "why": "broken", "form_key": key}
    with django_capture_on_commit_callbacks(execute=True):
        assert admin.post("/admin/billing/paymentrefund/add/", form).status_code == 302
    assert till.balance() == 30 * DOLLAR
    assert PaymentRefund.objects.get().actor == staff
    too_much = admin.post("/admin/billing/paymentrefund/add/", {**form, "amount": "31", "form_key": str(payment.key)})
    assert "At most $30.00" in text(admin.get(too_much["location"]))
    assert PaymentRefund.objects.count() == 1
