"""The audit log in the administration: to read and to search, for nobody to change."""

from django.contrib import admin
from django.utils.text import Truncator

from billing.admin_bases import ReadOnlyAdmin
from marketplace.domain.audit import ACTIONS
from marketplace.models import AuditEntry

_LISTED_CHARS = 60


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "what", "who", "account", "about", "said", "address")
    list_filter = ("action",)
    search_fields = ("actor__email", "behind__email", "account__email", "message", "address", "=object_id")
    search_help_text = "Account, address, number of the object, or words"
    list_select_related = ("actor", "behind", "account")
    date_hierarchy = "at"
    ordering = ("-at", "-pk")

    @admin.display(description="What")
    def what(self, entry: AuditEntry) -> str:
        return ACTIONS.get(entry.action, "")

    @admin.display(description="Who", ordering="actor__email")
    def who(self, entry: AuditEntry) -> str:
        seen_as = entry.actor.email if entry.actor else "-"
        return f"{entry.behind.email} as {seen_as}" if entry.behind else seen_as

    @admin.display(description="Message")
    def said(self, entry: AuditEntry) -> str:
        """Keys and addresses of pages have no place to break a line at."""
        return Truncator(entry.message).chars(_LISTED_CHARS)

    @admin.display(description="About")
    def about(self, entry: AuditEntry) -> str:
        return f"{entry.object_type} {entry.object_id}".strip()
