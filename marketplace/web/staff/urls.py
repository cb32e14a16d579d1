"""Addresses of the administration beside those that Django makes, all for staff only."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.urls import path

from marketplace.web.staff import acts, timeline

app_name = "staff"


def _machines(view: Any) -> Any:
    return admin.site.admin_view(permission_required("hosting.change_machine", raise_exception=True)(view))


def _accounts(view: Any) -> Any:
    return admin.site.admin_view(permission_required("marketplace.change_user", raise_exception=True)(view))


urlpatterns = [
    path("machines/<int:pk>/suspend/", _machines(acts.machine_suspend_page), name="machine_suspend"),
    path("machines/<int:pk>/restore/", _machines(acts.machine_restore_page), name="machine_restore"),
    path("machines/<int:pk>/timeline/", _machines(timeline.machine_timeline), name="machine_timeline"),
    path("accounts/<int:pk>/timeline/", _accounts(timeline.account_timeline), name="account_timeline"),
    path("accounts/<int:pk>/suspend/", _accounts(acts.account_suspend_page), name="account_suspend"),
    path("accounts/<int:pk>/see/", _accounts(acts.account_see_page), name="account_see"),
    path("accounts/<int:pk>/restore/", _accounts(acts.account_restore_page), name="account_restore"),
]
