"""The help page."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from marketplace.domain.offers import HOURS_PER_MONTH
from marketplace.services.credit import HOURS_OF_CREDIT_NEEDED


@require_GET
def help_page(request: HttpRequest) -> HttpResponse:
    """What the service does and how to use it; figures come from the code that keeps them."""
    context = {
        "platform_share_percent": 100 - settings.PLATFORM_HOST_SHARE_BPS // 100,
        "hours_per_month": HOURS_PER_MONTH,
        "hours_of_credit": HOURS_OF_CREDIT_NEEDED,
        "install_command": f"python -m agent --server {settings.SITE_URL} --token TOKEN",
    }
    return render(request, "marketplace/help.html", context)
