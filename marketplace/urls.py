"""URLs of the whole site."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path
from hijack.views import ReleaseUserView

from marketplace.web.health import healthz
from marketplace.web.metrics import metrics

# The admin's own form asks for no second factor and counts no failures, so staff come in by the site's sign-in page.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]  # the way allauth documents

urlpatterns = [
    path("healthz/", healthz, name="healthz"),
    path("metrics", metrics, name="metrics"),
    path("admin/staff/", include("marketplace.web.staff.urls")),
    path("admin/", admin.site.urls),
    path("hijack/", include(([path("release/", ReleaseUserView.as_view(), name="release")], "hijack"))),
    path("accounts/", include("allauth.urls")),
    path("api/agent/v1/", include("hosting.api.urls")),
    path("api/", include("marketplace.api.urls")),
    path("", include("hosting.web.urls")),
    path("", include("billing.web.urls")),
    path("", include("marketplace.web.urls")),
]
