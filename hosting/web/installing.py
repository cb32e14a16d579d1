"""Serves the script that makes a machine a host, and what its SHA-256 is."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from hosting.installer import install_script


@never_cache
@require_safe
def script(_request: HttpRequest) -> HttpResponse:
    """To be run by bash on the machine. A browser shows it."""
    return HttpResponse(install_script().text, content_type="text/plain; charset=utf-8")


@never_cache
@require_safe
def digest(_request: HttpRequest) -> HttpResponse:
    """A line for sha256sum --check."""
    return HttpResponse(f"{install_script().digest}  install.sh\n", content_type="text/plain; charset=utf-8")
