"""Answers of the pages that no single view should have to write: refusals and sign-in from within a page."""

import json
from collections.abc import Callable
from urllib.parse import quote, urlsplit, urlunsplit

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

from billing.domain.errors import BillingError
from hosting.errors import HostingError
from marketplace.errors import MarketError

REFUSALS = (MarketError, HostingError, BillingError)


class PageMiddleware:
    """Turns refusals of services into pages and toasts, and a lost session into a visit to the sign-in page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        location = response.headers.get("Location", "")
        if request.headers.get("HX-Request") and _is_sign_in(location):
            # A part of a page must not be filled with the sign-in page: the browser as a whole goes there, and comes
            # back to the page that it shows now.
            page = quote(_page_shown(request))
            return HttpResponse(status=204, headers={"HX-Redirect": f"{_sign_in_url()}?next={page}"})
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """A refusal that belongs to no field: a sentence in a toast, or the page that says that there is nothing."""
        if not isinstance(error, REFUSALS):
            return None
        status = getattr(error, "status", 400)
        if request.headers.get("HX-Request"):
            toast = json.dumps({"toast": {"level": "error", "text": error.message}})
            return HttpResponse(status=status, headers={"HX-Trigger": toast})
        if status == 404:
            return render(request, "404.html", {"reason": error.message}, status=404)
        messages.error(request, error.message)
        return redirect(_page_before(request))


def _sign_in_url() -> str:
    return resolve_url(settings.LOGIN_URL)


def _is_sign_in(location: str) -> bool:
    return bool(location) and urlsplit(location).path == _sign_in_url()


def _page_shown(request: HttpRequest) -> str:
    """Path and query, never another host's, of the page that htmx says the browser shows."""
    try:
        shown = urlsplit(request.headers.get("HX-Current-URL", ""))
    except ValueError:
        return "/"
    page = urlunsplit(("", "", shown.path or "/", shown.query, ""))
    return page if url_has_allowed_host_and_scheme(page, allowed_hosts=None) else "/"


def _page_before(request: HttpRequest) -> str:
    before = request.headers.get("Referer", "")
    if url_has_allowed_host_and_scheme(before, allowed_hosts={request.get_host()}):
        return before
    return resolve_url("search")
