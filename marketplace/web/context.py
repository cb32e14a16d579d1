"""What every page's frame needs to know."""

from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from billing.selectors import balance_micros

_SECTION_PREFIXES = (
    ("/instances/", "instances"),
    ("/volumes/", "volumes"),
    ("/templates/", "templates"),
    ("/billing/", "billing"),
    ("/host/", "host"),
    ("/help/", "help"),
    ("/account/", "account"),
    ("/accounts/", "account"),
)


def site(request: HttpRequest) -> dict[str, Any]:
    """Context processor: the site's name, whether this is the demo, the part of the site, the user's credit.

    The credit is a function, so that only pages which show it ask for it.
    """
    context: dict[str, Any] = {
        "site_name": settings.SITE_NAME,
        "is_demo": settings.DEMO,
        "section": section_of(request.path),
        "host_share_percent": settings.PLATFORM_HOST_SHARE_BPS // 100,
    }
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        context["balance_micros"] = cache(lambda: balance_micros(user, timezone.now()))
    return context


def section_of(path: str) -> str:
    """The navigation entry that ``path`` belongs to; "" when none does."""
    if path == "/" or path.startswith("/offers/"):
        return "search"
    return next((name for prefix, name in _SECTION_PREFIXES if path.startswith(prefix)), "")
