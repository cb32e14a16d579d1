"""URLs of the whole site."""

from django.contrib import admin
from django.urls import include, path

from marketplace.web.health import healthz

urlpatterns = [
    path("healthz/", healthz, name="healthz"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("api/agent/v1/", include("hosting.api.urls")),
    path("api/", include("marketplace.api.urls")),
    path("", include("hosting.web.urls")),
    path("", include("billing.web.urls")),
    path("", include("marketplace.web.urls")),
]
