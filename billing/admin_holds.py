"""Staff's view of amounts that are held for cases: what becomes of those that were upheld."""

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
from billing.admin_bases import ReadOnlyAdmin
from billing.domain.errors import BillingError
from billing.domain.money import exact_dollars
from billing.models import PayoutHold


class HoldActionForm(ActionForm):
    """Why an amount is kept, for the one action that asks for it."""

    why = forms.CharField(required=False, max_length=300, label="Why it is kept")


class PayoutHoldAdmin(ReadOnlyAdmin):
    """Cases release what they hold when they are overturned. What was upheld waits here."""

    list_display = ["reference", "host", "state", "amount", "earner", "since", "held_at", "reason", "forfeiture"]
    list_filter = ["state"]
    list_select_related = ["host", "forfeiture"]
    search_fields = ["=reference", "=earner", "host__email"]
    ordering = ["-id"]
    actions = ["release", "forfeit"]
    action_form = HoldActionForm

    @admin.display(description="Dollars")
    def amount(self, hold: PayoutHold) -> str:
        return exact_dollars(hold.amount_micros)

    @admin.action(description="Release: it is paid with the next payout", permissions=["act"])
    def release(self, request: HttpRequest, queryset: QuerySet[PayoutHold]) -> None:
        self._each(request, queryset, services.earnings_release, "released")

    @admin.action(description="Keep what was upheld; a second person has to agree", permissions=["act"])
    def forfeit(self, request: HttpRequest, queryset: QuerySet[PayoutHold]) -> None:
        keep = partial(services.earnings_forfeit, reason=request.POST.get("why", ""))
        self._each(request, queryset, keep, "waits for a second person, under adjustment requests")

    @staticmethod
    def _each(request: HttpRequest, holds: QuerySet[PayoutHold], act: Callable[..., Any], said: str) -> None:
        for hold in holds.order_by("pk"):
            try:
                act(hold_id=hold.pk, actor=request.user, now=timezone.now())
            except BillingError as error:
                messages.error(request, error.message)
            else:
                messages.success(request, f"{hold}: {said}.")
