"""Addresses of the administration beside those that Django makes, all for staff only."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.urls import path

from marketplace.web.staff import acts, timeline

app_name = "staff"


def _allowed(permission: str, view: Any) -> Any:
    return admin.site.admin_view(permission_required(permission, raise_exception=True)(view))


urlpatterns = [
    path(address, _allowed(permission, view), name=name)
    for address, permission, view, name in (
        ("machines/<int:pk>/suspend/", "hosting.suspend_machine", acts.machine_suspend_page, "machine_suspend"),
        ("machines/<int:pk>/restore/", "hosting.suspend_machine", acts.machine_restore_page, "machine_restore"),
        (
            "machines/<int:pk>/timeline/",
            "hosting.view_machine_timeline",
            timeline.machine_timeline,
            "machine_timeline",
        ),
        (
            "accounts/<int:pk>/timeline/",
            "marketplace.view_account_timeline",
            timeline.account_timeline,
            "account_timeline",
        ),
        ("accounts/<int:pk>/suspend/", "marketplace.suspend_account", acts.account_suspend_page, "account_suspend"),
        ("accounts/<int:pk>/see/", "marketplace.impersonate_account", acts.account_see_page, "account_see"),
        ("accounts/<int:pk>/restore/", "marketplace.suspend_account", acts.account_restore_page, "account_restore"),
    )
]
