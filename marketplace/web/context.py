"""What every page's frame needs to know."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

SITE_NAME = "Spotyard"

_SECTION_PREFIXES = (
    ("/instances/", "instances"),
    ("/billing/", "billing"),
    ("/host/", "host"),
    ("/help/", "help"),
    ("/account/", "account"),
    ("/accounts/", "account"),
)


def site(request: HttpRequest) -> dict[str, Any]:
    """Context processor: the site's name, whether this is the demo, and which part of the site the page belongs to."""
    return {"site_name": SITE_NAME, "is_demo": settings.DEMO, "section": section_of(request.path)}


def section_of(path: str) -> str:
    """The navigation entry that ``path`` belongs to; "" when none does."""
    if path == "/" or path.startswith("/offers/"):
        return "search"
    return next((name for prefix, name in _SECTION_PREFIXES if path.startswith(prefix)), "")
