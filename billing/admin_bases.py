"""What pages of the admin have in common where staff only look."""

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
    show_full_result_count = False


class ReadOnlyInline(ReadOnly, TabularInline):  # type: ignore[misc]  # unfold ships no types
    extra = 0
    show_change_link = True
