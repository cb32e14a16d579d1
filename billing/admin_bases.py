"""What pages of the admin have in common where staff only look."""

from collections.abc import Sequence
from typing import Any

from django.contrib.auth import get_permission_codename
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline


class ReadOnly:
    """Shows everything and changes nothing."""

    def has_add_permission(self, _request: HttpRequest, *_: object) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, *_: object) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, *_: object) -> bool:
        return False


class ReadOnlyAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Rows change by the list's actions only, for which the permission "act" is asked."""

    show_full_result_count = False

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Whoever may change rows of this kind, though no form for that is shown to anybody."""
        codename = get_permission_codename("change", self.opts)
        return request.user.has_perm(f"{self.opts.app_label}.{codename}")


class ReadOnlyInline(ReadOnly, TabularInline):  # type: ignore[misc]  # unfold ships no types
    """The latest rows first, a page of them at a time: a busy machine has thousands."""

    extra = 0
    show_change_link = True
    per_page = 50
    ordering: Sequence[str] = ("-pk",)
    list_select_related: Sequence[str] = ()
    """Foreign keys that are shown, which would be looked up row by row."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.select_related(*self.list_select_related) if self.list_select_related else rows
