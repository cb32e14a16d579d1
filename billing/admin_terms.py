"""What staff agree with an account: it holds for contracts made from now on."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin

from billing import services
from billing.domain.money import exact_dollars
from billing.models import AccountTerms


class AccountTermsAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Changed through the service. Payouts are held and let go in their own list."""

    list_display = ["owner", "host_share_bps", "spend_limit", "payouts_held_reason"]
    search_fields = ["owner__email"]
    list_select_related = ["owner"]
    raw_id_fields = ["owner"]
    ordering = ["owner__email"]

    @admin.display(description="Most an hour, dollars")
    def spend_limit(self, terms: AccountTerms) -> str:
        limit = terms.spend_limit_micros_per_hour
        return "" if limit is None else exact_dollars(limit)

    def get_readonly_fields(self, _: HttpRequest, obj: AccountTerms | None = None) -> list[str]:
        return ["owner", "payouts_held_reason"] if obj else ["payouts_held_reason"]

    def has_delete_permission(self, _request: HttpRequest, *_: object) -> bool:
        """It would let held payouts go."""
        return False

    def save_model(self, request: HttpRequest, obj: AccountTerms, _form: Any, _change: bool) -> None:
        assert request.user.is_authenticated  # noqa: S101  # the admin lets nobody else in; for the type checker
        made = services.account_terms_set(
            owner_id=obj.owner_id,
            host_share_bps=obj.host_share_bps,
            spend_limit_micros_per_hour=obj.spend_limit_micros_per_hour,
            actor=request.user,
            now=timezone.now(),
        )
        obj.__dict__.update(made.__dict__)
