"""Where a request comes from."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def remote_address(request: HttpRequest) -> str:
    """The address of whoever sent the request, as the outermost of our own reverse proxies saw it; "" if unknown."""
    forwarded: Any = request.headers.get("X-Forwarded-For")
    if settings.TRUSTED_PROXY_COUNT and forwarded:
        hops = [hop.strip() for hop in forwarded.split(",")]
        return str(hops[-min(settings.TRUSTED_PROXY_COUNT, len(hops))])
    return str(request.META.get("REMOTE_ADDR", ""))
