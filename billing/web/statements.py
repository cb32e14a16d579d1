"""Pages of monthly statements."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from billing import selectors
from billing.domain.periods import Month, parse_month
from billing.pdf import render_pdf
from billing.web.requests import AccountRequest
from billing.web.statement_pdf import statement_document
from billing.web.usage import by_subject


@login_required
@require_GET
def statements(request: AccountRequest) -> HttpResponse:
    """The months of one year, each with what came, went and was left."""
    now = timezone.now()
    years = selectors.statement_years(request.user, now)
    asked = request.GET.get("year", "")
    year = next((year for year in years if str(year) == asked), years[0] if years else None)
    months = [] if year is None else selectors.statement_months(request.user, year, now)
    context = {"years": years, "year": year, "months": months, "this_month": Month.of(now)}
    return render(request, "billing/statements.html", context)


@login_required
@require_GET
def statement(request: AccountRequest, month: str) -> HttpResponse:
    """One month from its opening to its closing balance."""
    found = _month(month)
    shown = selectors.month_statement(request.user, found)
    context = {
        "month": found,
        "statement": shown,
        "charges": by_subject(shown.charges),
        "payments_micros": sum(row.amount_micros for row in shown.payments),
        "others_micros": sum(row.amount_micros for row in shown.others),
        "is_over": found < Month.of(timezone.now()),
    }
    return render(request, "billing/statement.html", context)


@login_required
@require_GET
def statement_pdf(request: AccountRequest, month: str) -> HttpResponse:
    """The same as a document to keep."""
    found, now = _month(month), timezone.now()
    document = statement_document(request.user, selectors.month_statement(request.user, found), now)
    response = HttpResponse(render_pdf(document), content_type="application/pdf")
    response.headers["Content-Disposition"] = f'attachment; filename="statement-{found}.pdf"'
    return response


def _month(text: str) -> Month:
    month = parse_month(text)
    if month is None or month > Month.of(timezone.now()):
        raise Http404("There is no such month.")
    return month
