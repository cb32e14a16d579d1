"""What staff agree with an account: it holds for contracts made from now on."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin

from billing import services
from billing.admin_bases import ReadOnlyAdmin
from billing.domain.errors import BillingError
from billing.domain.money import exact_dollars
from billing.domain.terms import Terms
from billing.models import AccountTerms, TermsRequest


class AccountTermsAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Changed through the service. Payouts are held and let go in their own list."""

    list_display = ["owner", "host_share_bps", "spend_limit", "payouts_held_reason"]
    search_fields = ["owner__email"]
    list_select_related = ["owner"]
    raw_id_fields = ["owner"]
    ordering = ["owner__email"]

    @admin.display(description="Most an hour, dollars")
    def spend_limit(self, terms: AccountTerms) -> str:
        return _dollars(terms.spend_limit_micros_per_hour)

    def get_readonly_fields(self, _: HttpRequest, obj: AccountTerms | None = None) -> list[str]:
        return ["owner", "payouts_held_reason"] if obj else ["payouts_held_reason"]

    def has_delete_permission(self, _request: HttpRequest, *_: object) -> bool:
        """It would let held payouts go."""
        return False

    def save_model(self, request: HttpRequest, obj: AccountTerms, _form: Any, _change: bool) -> None:
        """What gives the account more becomes a request; the row stays as it was until somebody else agrees."""
        asked = services.account_terms_set(
            owner=obj.owner,
            terms=Terms(obj.host_share_bps, obj.spend_limit_micros_per_hour),
            actor=_staff(request),
            now=timezone.now(),
        )
        if asked is not None:
            messages.warning(
                request, f"Asked for as request {asked.pk}: somebody else has to agree to more than it has."
            )
        obj.__dict__.update(AccountTerms.objects.get(owner_id=obj.owner_id).__dict__)


class TermsRequestAdmin(ReadOnlyAdmin):
    """What somebody asked for; the actions of the list decide."""

    list_display = [
        "id",
        "state",
        "owner",
        "host_share_bps",
        "spend_limit",
        "requested_by",
        "decided_by",
        "requested_at",
    ]
    list_filter = ["state"]
    search_fields = ["owner__email"]
    list_select_related = ["owner", "requested_by", "decided_by"]
    ordering = ["-id"]
    actions = ["agree", "reject"]

    @admin.display(description="Most an hour, dollars")
    def spend_limit(self, asked: TermsRequest) -> str:
        return _dollars(asked.spend_limit_micros_per_hour)

    @admin.action(description="Agree", permissions=["act"])
    def agree(self, request: HttpRequest, queryset: QuerySet[TermsRequest]) -> None:
        self._decide(request, queryset, agree=True)

    @admin.action(description="Reject", permissions=["act"])
    def reject(self, request: HttpRequest, queryset: QuerySet[TermsRequest]) -> None:
        self._decide(request, queryset, agree=False)

    @staticmethod
    def _decide(request: HttpRequest, queryset: QuerySet[TermsRequest], *, agree: bool) -> None:
        for pk in queryset.order_by("pk").values_list("pk", flat=True):
            try:
                decided = services.terms_request_decide(
                    request_id=pk, agree=agree, actor=_staff(request), now=timezone.now()
                )
            except BillingError as error:
                messages.error(request, f"{pk}: {error.message}")
            else:
                messages.success(request, f"Request {pk} is {decided.state}.")


def _dollars(micros: int | None) -> str:
    return "" if micros is None else exact_dollars(micros)


def _staff(request: HttpRequest) -> Any:
    """Who acts; the admin lets in nobody but staff."""
    return request.user
