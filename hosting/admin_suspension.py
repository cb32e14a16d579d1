"""Buttons of machines' and accounts' pages in the administration that lead to pages about more than one table.

Those are the marketplace's, so they are known here by the names of their addresses only.
"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import action
from unfold.enums import ActionVariant


class SuspensionActions:
    """What a page offers whose object can be suspended: ``model`` has ``suspended_at``."""

    suspends = ""
    """What the pages' addresses begin with: "machine", "account"."""

    @action(description="Timeline", url_path="timeline", icon="history", permissions=["timeline"])  # type: ignore[untyped-decorator]  # unfold's
    def timeline(self, _request: HttpRequest, object_id: str) -> HttpResponse:
        """What happened to it."""
        return redirect(f"staff:{self.suspends}_timeline", object_id)

    @action(  # type: ignore[untyped-decorator]  # likewise
        description="Suspend", url_path="suspend", icon="block", variant=ActionVariant.DANGER, permissions=["suspend"]
    )
    def suspend(self, _request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask why, and do it."""
        return redirect(f"staff:{self.suspends}_suspend", object_id)

    @action(description="Lift the suspension", url_path="restore", icon="lock_open", permissions=["restore"])  # type: ignore[untyped-decorator]  # likewise
    def restore(self, _request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask again, and do it."""
        return redirect(f"staff:{self.suspends}_restore", object_id)

    def has_timeline_permission(self, request: HttpRequest, _object_id: object = None) -> bool:
        """Whether the button is there."""
        return request.user.has_perm(self._permission(f"view_{self.suspends}_timeline"))

    def has_suspend_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Whether the button is there. A suspended machine can be suspended again: to stop what runs on it."""
        return request.user.has_perm(self._permission(f"suspend_{self.suspends}")) and (
            self.suspends == "machine" or not self._is_suspended(object_id)
        )

    def has_restore_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Whether the button is there."""
        return request.user.has_perm(self._permission(f"suspend_{self.suspends}")) and self._is_suspended(object_id)

    def _permission(self, codename: str) -> str:
        return f"{self.model._meta.app_label}.{codename}"  # type: ignore[attr-defined]  # of the admin class that this is mixed into

    def _is_suspended(self, object_id: object) -> bool:
        rows = self.model._default_manager.filter(pk=object_id)  # type: ignore[attr-defined]  # likewise
        return bool(rows.exclude(suspended_at=None).exists())
