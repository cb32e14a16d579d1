"""Staff's view of what hosts earn: weekly runs and invoices."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from billing import services
from billing.admin_bases import ReadOnlyAdmin, ReadOnlyInline
from billing.domain.money import exact_dollars
from billing.models import HostInvoice, HostInvoiceLine, WeeklyRun


class WeeklyRunAdmin(ReadOnlyAdmin):
    """How far each week is. Running one again makes what is missing and changes nothing else."""

    list_display = ["period_end", "state", "invoices_count", "gross", "fee", "net", "started_at", "finished_at"]
    ordering = ["-period_end"]
    actions = ["run_again"]

    @admin.display(description="Gross, dollars")
    def gross(self, run: WeeklyRun) -> str:
        return exact_dollars(run.gross_micros)

    @admin.display(description="Fee, dollars")
    def fee(self, run: WeeklyRun) -> str:
        return exact_dollars(run.gross_micros - run.net_micros)

    @admin.display(description="Net, dollars")
    def net(self, run: WeeklyRun) -> str:
        return exact_dollars(run.net_micros)

    @admin.action(description="Run again")
    def run_again(self, request: HttpRequest, queryset: QuerySet[WeeklyRun]) -> None:
        opened = sum(services.weekly_run_repeat(run_id=run.pk) for run in queryset)
        messages.success(request, f"{opened} weeks are run again within a minute or two.")


class LineInline(ReadOnlyInline):
    model = HostInvoiceLine
    fields = readonly_fields = ["earner", "kind", "quantity", "gross", "fee", "net"]

    @admin.display(description="Gross, dollars")
    def gross(self, line: HostInvoiceLine) -> str:
        return exact_dollars(line.gross_micros)

    @admin.display(description="Fee, dollars")
    def fee(self, line: HostInvoiceLine) -> str:
        return exact_dollars(line.fee_micros)

    @admin.display(description="Net, dollars")
    def net(self, line: HostInvoiceLine) -> str:
        return exact_dollars(line.net_micros)


class HostInvoiceAdmin(ReadOnlyAdmin):
    list_display = ["number", "host", "period_end", "gross", "net"]
    list_select_related = ["host"]
    search_fields = ["=number", "host__email"]
    date_hierarchy = "period_end"
    ordering = ["-id"]
    inlines = [LineInline]

    @admin.display(description="Gross, dollars")
    def gross(self, invoice: HostInvoice) -> str:
        return exact_dollars(invoice.gross_micros)

    @admin.display(description="Net, dollars")
    def net(self, invoice: HostInvoice) -> str:
        return exact_dollars(invoice.net_micros)
