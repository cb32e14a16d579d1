"""What the processor holds for us is proven from what is recorded of payments."""

import pytest
from django.db import connection

from billing.models import Payment, ProviderEvent
from billing.selectors import flights, ledger_check
from tests.payments.till import DOLLAR, Till

pytestmark = pytest.mark.django_db


@pytest.fixture
def paid(till: Till) -> Payment:
    """Fifty dollars."""
    payment = till.buy(50)
    till.webhooks()
    payment.refresh_from_db()
    return payment


def codes(till: Till) -> list[str]:
    return sorted(item.code for item in ledger_check(till.now))


def test_a_payment_that_the_ledger_does_not_know_is_found(till: Till, paid: Payment) -> None:
    assert codes(till) == []
    Payment.objects.filter(pk=paid.pk).update(refunded_micros=DOLLAR)
    assert codes(till) == ["payment_wrong", "processor_wrong"]
    Payment.objects.filter(pk=paid.pk).update(refunded_micros=0, fee_micros=paid.fee_micros + 1)
    found = ledger_check(till.now)
    assert [item.subject for item in found] == ["processor stripe"]
    held = paid.fee_micros - paid.amount_micros
    assert found[0].message == f"processor stripe has {held} in the ledger, payments and payouts say {held + 1}."


def test_money_in_the_ledger_that_no_payment_speaks_of_is_found(till: Till, paid: Payment) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    Payment.objects.filter(pk=paid.pk).update(state="failed", succeeded_at=None)
    assert codes(till) == ["payment_wrong", "processor_wrong"]


def test_an_event_that_was_given_up_is_a_discrepancy(till: Till, paid: Payment) -> None:
    assert flights().payments == 0
    assert paid.state == "succeeded"
    ProviderEvent.objects.filter(state="processed").update(state="failed", error="It broke")
    count = ProviderEvent.objects.filter(state="failed").count()
    assert codes(till) == ["events_given_up"] * count != []
