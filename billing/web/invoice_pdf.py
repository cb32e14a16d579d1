"""A host's invoice as a document."""

from collections.abc import Sequence

from django.contrib.auth.base_user import AbstractBaseUser

from billing.letterhead import letterhead
from billing.models import HostInvoice, HostInvoiceLine, MeterKind, PayoutHold
from billing.pdf import Align, Column, Document, Fact, Row, Table, Total
from billing.web.invoice_words import earner_words, quantity_words
from billing.web.statement_pdf import account_party, dollars

_RIGHT = Align.RIGHT
_COLUMNS = (
    Column("Machine", 4),
    Column("Use", 3),
    Column("Quantity", 4, _RIGHT),
    Column("Clients paid", 4, _RIGHT),
    Column("Fee", 4, _RIGHT),
    Column("You earned", 4, _RIGHT),
)
_NOTES = (
    "All amounts are US dollars, exact to the millionth. Time that is posted after a week was invoiced stands on the"
    " next invoice.",
)


def invoice_document(
    user: AbstractBaseUser,
    invoice: HostInvoice,
    lines: Sequence[HostInvoiceLine],
    held: Sequence[tuple[PayoutHold, int]] = (),
) -> Document:
    """The invoice, with what is ``held`` of it now; but for that it is the same when made again, byte by byte."""
    return Document(
        letterhead=letterhead(),
        title="Host invoice",
        subtitle=f"No. {invoice.number}",
        created_at=invoice.issued_at,
        parties=(account_party(user),),
        facts=(
            Fact("From (UTC)", f"{invoice.period_start:%Y-%m-%d %H:%M}"),
            Fact("To (UTC)", f"{invoice.period_end:%Y-%m-%d %H:%M}"),
            Fact("You earned", dollars(invoice.net_micros)),
        ),
        tables=(_table(invoice, lines),),
        notes=(*_NOTES, *(f"Held of it: {dollars(micros)}. {hold.reason}" for hold, micros in held)),
        footer=f"Invoice {invoice.number}",
    )


def _table(invoice: HostInvoice, lines: Sequence[HostInvoiceLine]) -> Table:
    rows = tuple(
        Row(
            (
                earner_words(line.earner),
                MeterKind(line.kind).label,
                quantity_words(line),
                dollars(line.gross_micros),
                dollars(line.fee_micros),
                dollars(line.net_micros),
            )
        )
        for line in lines
    )
    totals = (
        Total("Clients paid", dollars(invoice.gross_micros)),
        Total("Marketplace's fee", dollars(invoice.fee_micros)),
        Total("You earned", dollars(invoice.net_micros), strong=True),
    )
    return Table(_COLUMNS, rows, "By machine", totals)
