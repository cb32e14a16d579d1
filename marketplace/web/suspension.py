"""Keeps suspended accounts from every page, and tells them why."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django_htmx.http import HttpResponseClientRefresh

OPEN_PAGES = frozenset({"account_logout", "healthz", "help", "release"})
"""Signing out, Help, and the way back for staff who look at the site as the account."""


class SuspensionMiddleware:
    """Answers a suspended account's requests with the reason. What it had running is ended elsewhere."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, _view: object, _args: object, _kwargs: object) -> HttpResponse | None:
        """The page that says that the account is suspended; None for everybody else."""
        if settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return None  # agents and the API: nobody is signed in
        if not request.user.is_authenticated or request.user.suspended_at is None:
            return None
        found = request.resolver_match
        if found is None or found.url_name in OPEN_PAGES or found.route.startswith("api/"):
            return None  # of the API's callers the key counts, not who is signed in
        if request.headers.get("HX-Request"):
            return HttpResponseClientRefresh()
        return render(request, "account/suspended.html", status=403)
