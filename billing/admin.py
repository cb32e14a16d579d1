"""Staff's view of the money: the ledger is read only, and credit is given with a reason."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Model, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from billing import selectors, services
from billing.admin_adjustments import AdjustmentRequestAdmin
from billing.admin_bases import ReadOnlyAdmin, ReadOnlyInline
from billing.admin_holds import PayoutHoldAdmin
from billing.admin_payments import (
    AutoBillingAdmin,
    CardAdmin,
    PaymentAdmin,
    PaymentDisputeAdmin,
    PaymentRefundAdmin,
    ProviderEventAdmin,
)
from billing.admin_payouts import HostInvoiceAdmin, PayoutAdmin, PayoutMethodAdmin, WeeklyRunAdmin
from billing.admin_terms import AccountTermsAdmin, TermsRequestAdmin
from billing.domain.errors import BillingError
from billing.domain.money import exact_dollars
from billing.forms import CreditGrantForm
from billing.models import (
    AccountKind,
    AccountTerms,
    AdjustmentRequest,
    AutoBilling,
    Card,
    CheckpointRun,
    CreditGrant,
    Entry,
    HostInvoice,
    LedgerAccount,
    LedgerCheckRun,
    Meter,
    MeterSegment,
    Payment,
    PaymentDispute,
    PaymentRefund,
    Payout,
    PayoutHold,
    PayoutMethod,
    Posting,
    ProviderEvent,
    TermsRequest,
    WeeklyRun,
)
from billing.services.alone import alone_sentence


class PostingInline(ReadOnlyInline):
    model = Posting
    fields = ["account", "dollars"]
    readonly_fields = ["account", "dollars"]
    ordering = ["pk"]
    list_select_related = ["account"]

    @admin.display(description="Dollars")
    def dollars(self, posting: Posting) -> str:
        return exact_dollars(posting.amount_micros)


class SegmentInline(ReadOnlyInline):
    model = MeterSegment


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ["id", "occurred_at", "kind", "memo", "actor"]
    list_filter = ["kind", "occurred_at"]
    date_hierarchy = "occurred_at"
    search_fields = ["=idempotency_key", "memo", "=postings__account__owner__email"]
    list_select_related = ["actor"]
    ordering = ["-id"]
    inlines = [PostingInline]


@admin.register(Posting)
class PostingAdmin(ReadOnlyAdmin):
    """The statement of an account, when filtered by it; of what is filtered the total is told."""

    list_display = ["id", "occurred_at", "account", "dollars", "memo"]
    list_filter = ["account__kind", "entry__kind", "occurred_at"]
    date_hierarchy = "occurred_at"
    search_fields = ["account__owner__email", "=entry__memo"]
    list_select_related = ["account", "entry"]
    ordering = ["-id"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response: HttpResponse = super().changelist_view(request, extra_context)
        shown = getattr(response, "context_data", None) or {}
        if request.GET and "cl" in shown:
            found = shown["cl"].queryset.aggregate(total=Sum("amount_micros"), count=Count("pk"))
            shown["subtitle"] = f"{found['count']} postings, {exact_dollars(found['total'] or 0)} dollars in all"
        return response

    @admin.display(description="Dollars")
    def dollars(self, posting: Posting) -> str:
        return exact_dollars(posting.amount_micros)

    @admin.display(description="Memo")
    def memo(self, posting: Posting) -> str:
        return posting.entry.memo


@admin.register(LedgerAccount)
class LedgerAccountAdmin(ReadOnlyAdmin):
    list_display = ["id", "kind", "owner", "reference", "balance", "zero_at", "statement"]
    list_filter = ["kind"]
    search_fields = ["owner__email", "reference"]
    list_select_related = ["owner"]
    list_per_page = 50
    readonly_fields = ["balance"]

    @admin.display(description="Statement")
    def statement(self, account: LedgerAccount) -> str:
        url = reverse("admin:billing_posting_changelist")
        return format_html('<a class="underline" href="{}?account__id__exact={}">Postings</a>', url, account.pk)

    @admin.display(description="Balance now, dollars")
    def balance(self, account: LedgerAccount) -> str:
        """For clients and hosts with what is accrued and not posted yet."""
        now = timezone.now()
        if account.owner is None:
            return exact_dollars(selectors.posted_balance_micros(account))
        if account.kind == AccountKind.CLIENT_CREDIT:
            return exact_dollars(selectors.balance_micros(account.owner, now))
        return exact_dollars(selectors.host_earnings_micros(account.owner, now))


@admin.register(Meter)
class MeterAdmin(ReadOnlyAdmin):
    list_display = ["reference", "kind", "payer", "payee", "rate", "running_since", "total", "closed_at"]
    list_filter = ["kind"]
    search_fields = ["reference", "payer__email", "payee__email"]
    list_select_related = ["payer", "payee"]
    ordering = ["-id"]
    inlines = [SegmentInline]

    @admin.display(description="Dollars per hour or GB")
    def rate(self, meter: Meter) -> str:
        return exact_dollars(meter.rate_micros)

    @admin.display(description="Posted, dollars")
    def total(self, meter: Meter) -> str:
        return exact_dollars(meter.posted_micros)


@admin.register(CreditGrant)
class CreditGrantAdmin(ReadOnlyAdmin):
    """Lists the credit given, and gives credit."""

    list_display = ["id", "occurred_at", "memo", "actor"]
    list_select_related = ["actor"]
    search_fields = ["memo"]
    ordering = ["-id"]

    def has_add_permission(self, request: HttpRequest, *_: object) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def get_inlines(self, _: HttpRequest, obj: Model | None) -> list[type[PostingInline]]:
        return [PostingInline] if obj else []

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **kwargs) if obj else CreditGrantForm

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return super().get_fields(request, obj) if obj else ["account", "amount", "reason", "key"]

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response: HttpResponse = super().add_view(request, *args, **kwargs)
        except BillingError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(request.path)
        return response

    def save_model(self, request: HttpRequest, obj: CreditGrant, form: CreditGrantForm, *_: object) -> None:
        """What is too much for one person becomes a request: then there is no grant yet, and ``obj`` has no number."""
        assert request.user.is_authenticated  # noqa: S101  # the admin lets nobody else in; for the type checker
        made = services.credit_give(
            user=form.cleaned_data["account"],
            amount_micros=form.cleaned_data["amount"],
            actor=request.user,
            reason=form.cleaned_data["reason"],
            idempotency_key=form.cleaned_data["key"],
            now=timezone.now(),
        )
        if isinstance(made, AdjustmentRequest):
            messages.warning(request, f"Asked for as request {made.pk}. {alone_sentence()}")
        else:
            obj.__dict__.update(made.__dict__)

    def log_addition(self, request: HttpRequest, obj: CreditGrant, message: Any) -> Any:
        return super().log_addition(request, obj, message) if obj.pk else None

    def response_add(self, request: HttpRequest, obj: CreditGrant, *args: Any, **kwargs: Any) -> HttpResponse:
        if obj.pk:
            response: HttpResponse = super().response_add(request, obj, *args, **kwargs)
            return response
        return HttpResponseRedirect(reverse("admin:billing_creditgrant_changelist"))


@admin.register(LedgerCheckRun)
class LedgerCheckRunAdmin(ReadOnlyAdmin):
    list_display = ["ran_at", "discrepancies_count"]
    ordering = ["-id"]


@admin.register(CheckpointRun)
class CheckpointRunAdmin(ReadOnlyAdmin):
    list_display = ["ran_at", "through_posting_id", "accounts_count"]
    ordering = ["-id"]


admin.site.register(AccountTerms, AccountTermsAdmin)
admin.site.register(TermsRequest, TermsRequestAdmin)
admin.site.register(AdjustmentRequest, AdjustmentRequestAdmin)
admin.site.register(WeeklyRun, WeeklyRunAdmin)
admin.site.register(HostInvoice, HostInvoiceAdmin)
admin.site.register(Payout, PayoutAdmin)
admin.site.register(PayoutHold, PayoutHoldAdmin)
admin.site.register(PayoutMethod, PayoutMethodAdmin)
admin.site.register(AutoBilling, AutoBillingAdmin)
admin.site.register(Card, CardAdmin)
admin.site.register(Payment, PaymentAdmin)
admin.site.register(PaymentDispute, PaymentDisputeAdmin)
admin.site.register(PaymentRefund, PaymentRefundAdmin)
admin.site.register(ProviderEvent, ProviderEventAdmin)
