"""Staff ask for money to be moved by hand, and decide about what others asked for."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from billing import services
from billing.admin_bases import ReadOnlyAdmin
from billing.domain.errors import BillingError
from billing.domain.money import exact_dollars
from billing.forms import AdjustmentForm
from billing.models import AdjustmentRequest


class AdjustmentRequestAdmin(ReadOnlyAdmin):
    """Adding asks; the actions of the list decide."""

    list_display = ["id", "state", "kind", "account", "dollars", "reason", "requested_by", "decided_by", "requested_at"]
    list_filter = ["state", "kind"]
    search_fields = ["account__owner__email", "reason"]
    list_select_related = ["account__owner", "requested_by", "decided_by"]
    ordering = ["-id"]
    actions = ["approve", "reject"]

    @admin.display(description="Dollars")
    def dollars(self, request: AdjustmentRequest) -> str:
        return exact_dollars(request.amount_micros)

    @admin.action(description="Approve and post", permissions=["act"])
    def approve(self, request: HttpRequest, queryset: QuerySet[AdjustmentRequest]) -> None:
        self._decide(request, queryset, services.adjustment_approve)

    @admin.action(description="Reject", permissions=["act"])
    def reject(self, request: HttpRequest, queryset: QuerySet[AdjustmentRequest]) -> None:
        self._decide(request, queryset, services.adjustment_reject)

    @staticmethod
    def _decide(request: HttpRequest, queryset: QuerySet[AdjustmentRequest], decide: Any) -> None:
        for asked in queryset.order_by("pk"):
            try:
                decided = decide(request_id=asked.pk, actor=request.user, now=timezone.now())
            except BillingError as error:
                messages.error(request, f"{asked.pk}: {error.message}")
            else:
                messages.success(request, f"Request {asked.pk} is {decided.state}.")

    def has_add_permission(self, request: HttpRequest, *_: object) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def get_form(self, request: HttpRequest, obj: AdjustmentRequest | None = None, **kwargs: Any) -> Any:
        return super().get_form(request, obj, **kwargs) if obj else AdjustmentForm

    def get_fields(self, request: HttpRequest, obj: AdjustmentRequest | None = None) -> Any:
        asked = ["kind", "owner", "account_kind", "amount", "reason", "key"]
        return super().get_fields(request, obj) if obj else asked

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response: HttpResponse = super().add_view(request, *args, **kwargs)
        except BillingError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(request.path)
        return response

    def save_model(self, request: HttpRequest, obj: AdjustmentRequest, form: AdjustmentForm, *_: object) -> None:
        asked = form.cleaned_data
        made = services.adjustment_request(
            kind=asked["kind"],
            owner=asked["owner"],
            account_kind=asked["account_kind"],
            amount_micros=asked["amount"],
            actor=request.user,  # type: ignore[arg-type]  # the admin's site lets only staff come here
            reason=asked["reason"],
            key=asked["key"],
            now=timezone.now(),
        )
        obj.__dict__.update(made.__dict__)
