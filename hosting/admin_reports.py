"""Clients' reports of machines in the administration."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from billing.admin_bases import ReadOnlyAdmin
from hosting.errors import HostingError
from hosting.models import MachineReport
from hosting.services.machine_reports import report_dismiss


@admin.register(MachineReport)
class MachineReportAdmin(ReadOnlyAdmin):
    """Hosts answer; staff look, and dismiss what is nothing or spite."""

    list_display = ("created_at", "machine", "kind", "state", "reporter", "about", "text", "answered_at")
    list_filter = ("state", "kind")
    search_fields = ("=machine__id", "machine__host__email", "reporter__email", "text")
    list_select_related = ("machine", "reporter")
    date_hierarchy = "created_at"
    ordering = ("-pk",)
    actions = ("dismiss",)

    @admin.action(description="Dismiss", permissions=["act"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[MachineReport]) -> None:
        actor = request.user if request.user.is_authenticated else None
        for pk in queryset.order_by("pk").values_list("pk", flat=True):
            try:
                report_dismiss(report_id=pk, actor=actor, now=timezone.now())
            except HostingError as refusal:
                messages.error(request, f"{pk}: {refusal.message}")
            else:
                messages.success(request, f"Report {pk} is dismissed.")
