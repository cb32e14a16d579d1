"""Staff's view of what hosts earn and are paid: weekly runs, invoices, the payout queue."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from billing import services
from billing.admin_bases import ReadOnlyAdmin, ReadOnlyInline
from billing.domain.errors import BillingError
from billing.domain.money import exact_dollars
from billing.domain.payout_holds import OPEN
from billing.domain.payouts import LATE_AFTER, UNSENT, is_late
from billing.models import HostInvoice, HostInvoiceLine, Payout, PayoutEvent, WeeklyRun


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

    @admin.action(description="Run again", permissions=["act"])
    def run_again(self, request: HttpRequest, queryset: QuerySet[WeeklyRun]) -> None:
        opened = sum(services.weekly_run_repeat(run_id=run.pk) for run in queryset)
        messages.success(request, f"{opened} weeks are run again within a minute or two.")


class LineInline(ReadOnlyInline):
    model = HostInvoiceLine
    fields = readonly_fields = ["earner", "kind", "quantity", "gross", "fee", "net"]
    ordering = ["pk"]

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


class LateFilter(admin.SimpleListFilter):
    """Payouts that should have left by now."""

    title = "lateness"
    parameter_name = "late"

    def lookups(self, _request: HttpRequest, _admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Late")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Payout]) -> QuerySet[Payout]:
        if self.value() != "yes":
            return queryset
        return queryset.filter(state__in=UNSENT, run__period_end__lt=timezone.now() - LATE_AFTER)


class EventInline(ReadOnlyInline):
    model = PayoutEvent


class PayoutActionForm(ActionForm):
    """What staff found at the provider, for the one action that asks for it."""

    transfer_id = forms.CharField(required=False, max_length=80, label="Transfer or batch")
    item_id = forms.CharField(required=False, max_length=80, label="Bank payout or item")


class PayoutAdmin(ReadOnlyAdmin):
    """The queue. What is not sent can be held with its host, let go, and tried again."""

    list_display = ["key", "host", "provider", "amount", "state", "late", "held", "reason", "next_at"]
    list_filter = ["state", LateFilter, "provider"]
    list_select_related = ["host", "host__money_terms", "run"]
    search_fields = ["=key", "host__email", "=transfer_id", "=item_id"]
    ordering = ["-id"]
    inlines = [EventInline]
    actions = ["try_again", "hold", "release", "declare_sent", "declare_lost"]
    action_form = PayoutActionForm

    def get_queryset(self, request: HttpRequest) -> QuerySet[Payout]:
        rows: QuerySet[Payout] = super().get_queryset(request)
        return rows.prefetch_related("host__payout_holds")

    @admin.display(description="Dollars")
    def amount(self, payout: Payout) -> str:
        return exact_dollars(payout.amount_micros)

    @admin.display(description="Late")
    def late(self, payout: Payout) -> str:
        return "late" if is_late(payout.state, payout.run.period_end, timezone.now()) else ""

    @admin.display(description="Held")
    def held(self, payout: Payout) -> str:
        """Why all of the host's payouts are, and what of its earnings stays out of them."""
        terms = getattr(payout.host, "money_terms", None)
        all_of_them = "" if terms is None else terms.payouts_held_reason
        holds = [hold for hold in payout.host.payout_holds.all() if hold.state in OPEN]
        amounts = [f"{exact_dollars(hold.amount_micros)} for {hold}" for hold in holds]
        return "; ".join(filter(None, [all_of_them, *amounts]))

    @admin.action(description="Try again now", permissions=["act"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Payout]) -> None:
        due = sum(services.payout_retry(payout_id=payout.pk, now=timezone.now()) for payout in queryset)
        messages.success(request, f"{due} payouts are sent within a minute.")

    @admin.action(description="Hold all payouts of these hosts", permissions=["act"])
    def hold(self, request: HttpRequest, queryset: QuerySet[Payout]) -> None:
        hosts = set(queryset.values_list("host_id", flat=True))
        for host_id in hosts:
            services.payouts_hold(host_id=host_id, actor=_staff(request), reason="Under review.", now=timezone.now())
        messages.success(request, f"Payouts of {len(hosts)} hosts are held. The reason is in their account terms.")

    @admin.action(description="Release all payouts of these hosts", permissions=["act"])
    def release(self, request: HttpRequest, queryset: QuerySet[Payout]) -> None:
        hosts = set(queryset.values_list("host_id", flat=True))
        for host_id in hosts:
            services.payouts_release(host_id=host_id, actor=_staff(request), now=timezone.now())
        messages.success(request, f"Payouts of {len(hosts)} hosts are not held any more.")

    @admin.action(description="Forgotten by the provider: it has it under the ids given here", permissions=["act"])
    def declare_sent(self, request: HttpRequest, queryset: QuerySet[Payout]) -> None:
        transfer_id, item_id = (request.POST.get(name, "").strip() for name in ("transfer_id", "item_id"))
        declare = partial(services.payout_declare_sent, transfer_id=transfer_id, item_id=item_id)
        self._declare(request, queryset, declare)

    @admin.action(description="Forgotten by the provider: it never left, put the money back", permissions=["act"])
    def declare_lost(self, request: HttpRequest, queryset: QuerySet[Payout]) -> None:
        self._declare(request, queryset, services.payout_declare_lost)

    @staticmethod
    def _declare(request: HttpRequest, queryset: QuerySet[Payout], declare: Callable[..., Payout]) -> None:
        for payout in queryset.order_by("pk"):
            try:
                done = declare(payout_id=payout.pk, actor=_staff(request), now=timezone.now())
            except BillingError as error:
                messages.error(request, error.message)
            else:
                messages.success(request, f"{done.key} is {done.state}.")


class PayoutMethodAdmin(ReadOnlyAdmin):
    list_display = ["host", "provider", "country", "state", "label", "account_id", "problem"]
    list_filter = ["state", "provider"]
    list_select_related = ["host"]
    search_fields = ["host__email", "=account_id"]
    ordering = ["-id"]


def _staff(request: HttpRequest) -> Any:
    """Who acts; the admin lets in nobody but staff."""
    return request.user
