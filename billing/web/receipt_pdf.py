"""The receipt of a payment as a document."""

from datetime import datetime

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser

from billing.letterhead import letterhead
from billing.models import Payment
from billing.pdf import Align, Column, Document, Fact, Row, Table, Total
from billing.web.statement_pdf import account_party, dollars

_COLUMNS = (Column("What", 9), Column("Amount", 4, Align.RIGHT))
_TEST_NOTE = "Test mode: no real money was moved by this payment."


def receipt_document(user: AbstractBaseUser, payment: Payment) -> Document:
    """What was paid, how, and what went back since. The payment has succeeded."""
    paid_at = payment.succeeded_at or payment.created_at
    refunds = [row for row in payment.refunds.all() if row.state == "succeeded"]
    rows = [Row(("Credit for GPU computing", dollars(payment.amount_micros)))]
    rows += [Row((f"Refunded on {row.created_at:%Y-%m-%d}", dollars(-row.amount_micros))) for row in refunds]
    left = payment.amount_micros - sum(row.amount_micros for row in refunds)
    return Document(
        letterhead=letterhead(),
        title="Receipt",
        subtitle=f"Payment {payment.pk}",
        created_at=paid_at,
        parties=(account_party(user),),
        facts=_facts(payment, paid_at),
        tables=(Table(_COLUMNS, tuple(rows), totals=(Total("Paid", dollars(left), strong=True),)),),
        notes=(_TEST_NOTE,) if settings.PAYMENTS_TEST_MODE else (),
        footer=f"Receipt for payment {payment.pk}, account {user.pk}",
    )


def _facts(payment: Payment, paid_at: datetime) -> tuple[Fact, ...]:
    card = () if payment.card is None else (Fact("Card", f"{payment.card.brand} ending in {payment.card.last4}"),)
    return (
        Fact("Paid on (UTC)", f"{paid_at:%Y-%m-%d %H:%M}"),
        *card,
        Fact("Number at the payment provider", payment.intent_id or ""),
    )
