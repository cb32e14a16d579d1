"""Staff's view of payments, and refunds: everything can be read, and money of a payment can be given back."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing import services
from billing.admin_bases import ReadOnlyAdmin, ReadOnlyInline
from billing.domain.errors import BillingError
from billing.domain.money import exact_dollars
from billing.domain.payment_states import SUCCEEDED
from billing.forms import PaymentRefundForm
from billing.models import AutoBilling, Payment, PaymentChange, PaymentDispute, PaymentRefund


class ChangeInline(ReadOnlyInline):
    model = PaymentChange


class RefundInline(ReadOnlyInline):
    model = PaymentRefund
    fields = readonly_fields = ["created_at", "dollars", "state", "reason", "actor", "provider_id"]
    list_select_related = ["actor"]

    @admin.display(description="Dollars")
    def dollars(self, refund: PaymentRefund) -> str:
        return exact_dollars(refund.amount_micros)


class DisputeInline(ReadOnlyInline):
    model = PaymentDispute


class PaymentAdmin(ReadOnlyAdmin):
    list_display = ["id", "created_at", "owner", "purpose", "state", "dollars", "refunded", "disputed", "failure_code"]
    list_filter = ["state", "purpose"]
    list_select_related = ["owner"]
    search_fields = ["=id", "owner__email", "=intent_id", "=session_id"]
    ordering = ["-id"]
    inlines = [RefundInline, DisputeInline, ChangeInline]
    readonly_fields = ["refund"]

    @admin.display(description="Dollars")
    def dollars(self, payment: Payment) -> str:
        return exact_dollars(payment.amount_micros)

    @admin.display(description="Refunded")
    def refunded(self, payment: Payment) -> str:
        return exact_dollars(payment.refunded_micros)

    @admin.display(description="Disputed")
    def disputed(self, payment: Payment) -> str:
        return exact_dollars(payment.disputed_micros)

    @admin.display(description="Refund")
    def refund(self, payment: Payment) -> SafeString | str:
        """The way to give it back."""
        if payment.state != SUCCEEDED:
            return "There is nothing to refund."
        form = reverse("admin:billing_paymentrefund_add")
        return format_html('<a href="{}?payment_number={}">Refund this payment</a>', form, payment.pk)


class PaymentRefundAdmin(ReadOnlyAdmin):
    """Lists refunds, and gives them."""

    list_display = ["id", "created_at", "payment", "dollars", "state", "reason", "actor", "failure"]
    list_filter = ["state"]
    list_select_related = ["payment", "actor"]
    search_fields = ["payment__owner__email", "=provider_id"]
    ordering = ["-id"]

    @admin.display(description="Dollars")
    def dollars(self, refund: PaymentRefund) -> str:
        return exact_dollars(refund.amount_micros)

    def has_add_permission(self, request: HttpRequest, *_: object) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **kwargs) if obj else PaymentRefundForm

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return super().get_fields(request, obj) if obj else ["payment_number", "amount", "why", "form_key"]

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response: HttpResponse = super().add_view(request, *args, **kwargs)
        except BillingError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(request.get_full_path())
        return response

    def save_model(self, request: HttpRequest, obj: PaymentRefund, form: PaymentRefundForm, *_: object) -> None:
        """Written down now, sent once that is committed; if it can't be sent then, the reconciliation sends it."""
        now, actor = timezone.now(), request.user
        assert actor.is_authenticated  # noqa: S101 - the admin lets nobody else in; for the type checker
        refund = services.payment_refund(
            payment_id=form.cleaned_data["payment_number"],
            amount_micros=form.cleaned_data["amount"],
            actor=actor,
            reason=form.cleaned_data["why"],
            key=form.cleaned_data["form_key"],
            now=now,
        )
        obj.__dict__.update(refund.__dict__)
        transaction.on_commit(partial(services.refund_send, refund_id=refund.pk, now=now))


class PaymentDisputeAdmin(ReadOnlyAdmin):
    list_display = ["id", "payment", "status", "reason", "withdrawn", "opened_at", "closed_at"]
    list_filter = ["status"]
    list_select_related = ["payment"]
    ordering = ["-id"]

    @admin.display(description="Withdrawn, dollars")
    def withdrawn(self, dispute: PaymentDispute) -> str:
        return exact_dollars(dispute.withdrawn_micros)


class CardAdmin(ReadOnlyAdmin):
    list_display = ["id", "owner", "brand", "last4", "exp_month", "exp_year", "is_default", "removed_at"]
    list_select_related = ["owner"]
    search_fields = ["owner__email", "=provider_id"]
    ordering = ["-id"]


class AutoBillingAdmin(ReadOnlyAdmin):
    list_display = ["owner", "enabled", "threshold", "mode", "amount", "failures", "next_attempt_at", "off_reason"]
    list_filter = ["enabled"]
    list_select_related = ["owner"]
    search_fields = ["owner__email"]

    @admin.display(description="Threshold, dollars")
    def threshold(self, terms: AutoBilling) -> str:
        return exact_dollars(terms.threshold_micros)

    @admin.display(description="Amount, dollars")
    def amount(self, terms: AutoBilling) -> str:
        return exact_dollars(terms.amount_micros)


class ProviderEventAdmin(ReadOnlyAdmin):
    """What providers told. What was given up needs somebody to look."""

    list_display = ["id", "received_at", "provider", "type", "state", "attempts", "error"]
    list_filter = ["state", "provider"]
    search_fields = ["=event_id", "type"]
    ordering = ["-id"]
    actions = ["try_again"]

    @admin.action(description="Process again", permissions=["act"])
    def try_again(self, request: HttpRequest, queryset: Any) -> None:
        opened = services.events_retry(event_ids=list(queryset.values_list("pk", flat=True)), now=timezone.now())
        messages.success(request, f"{opened} events are processed again within a second or two.")
