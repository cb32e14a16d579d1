"""A host's invoice as page, PDF and CSV."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET

from billing.access import invoice_for
from billing.domain.money import exact_dollars
from billing.models import HostInvoiceLine
from billing.pdf import render_pdf
from billing.selectors import held_by_invoice
from billing.web.csv_files import csv_response
from billing.web.invoice_pdf import invoice_document
from billing.web.invoice_words import earner_words, quantity_unit, quantity_value, quantity_words
from billing.web.requests import AccountRequest

CSV_COLUMNS = ("invoice", "machine", "use", "quantity", "unit", "gross_dollars", "fee_dollars", "net_dollars")


@login_required
@require_GET
def invoice(request: AccountRequest, number: str) -> HttpResponse:
    """One week, by machine and kind of use."""
    found = invoice_for(request.user, number)
    lines = [
        {
            "machine": earner_words(line.earner),
            "use": line.get_kind_display(),
            "quantity": quantity_words(line),
            "gross_micros": line.gross_micros,
            "fee_micros": line.fee_micros,
            "net_micros": line.net_micros,
        }
        for line in _lines(found.pk)
    ]
    context = {"invoice": found, "lines": lines, "payouts": found.payouts.all(), "held": held_by_invoice(found)}
    return render(request, "billing/invoice.html", context)


@login_required
@require_GET
def invoice_pdf(request: AccountRequest, number: str) -> HttpResponse:
    """The same as a document to keep."""
    found = invoice_for(request.user, number)
    document = invoice_document(request.user, found, _lines(found.pk), held_by_invoice(found))
    response = HttpResponse(render_pdf(document), content_type="application/pdf")
    response.headers["Content-Disposition"] = f'attachment; filename="invoice-{found.number}.pdf"'
    return response


@login_required
@require_GET
def invoice_csv(request: AccountRequest, number: str) -> HttpResponseBase:
    """The same as a file for a spreadsheet: exact dollars."""
    found = invoice_for(request.user, number)
    rows = (
        (
            found.number,
            earner_words(line.earner),
            line.kind,
            quantity_value(line),
            quantity_unit(line),
            *map(exact_dollars, (line.gross_micros, line.fee_micros, line.net_micros)),
        )
        for line in _lines(found.pk)
    )
    return csv_response(f"invoice-{found.number}.csv", CSV_COLUMNS, rows)


def _lines(invoice_id: int) -> list[HostInvoiceLine]:
    """In the order of machines' numbers."""
    lines = HostInvoiceLine.objects.filter(invoice_id=invoice_id)
    return sorted(lines, key=lambda line: (len(line.earner), line.earner, line.kind))
