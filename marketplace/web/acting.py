"""Notes behind each request who it comes from, and each act of staff in the audit log before it happens."""

from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from hosting.request_address import remote_address
from marketplace.acting import Origin, origin
from marketplace.domain.audit import kept_fields
from marketplace.services.audit import audit_record

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
STAFF_PARTS = frozenset({"admin", "staff"})
"""Namespaces of the administration's addresses."""


class ActingMiddleware:
    """Lets the audit log know where things come from, and writes down all that staff send in the administration.

    The entry is written before the view runs and stays whatever becomes of it: no act of staff goes without one, also
    if its author forgot about the log.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = origin.set(_origin_of(request))
        try:
            return self.get_response(request)
        finally:
            origin.reset(token)

    def process_view(self, request: HttpRequest, _view: object, _args: object, kwargs: dict[str, Any]) -> None:
        """Note what staff are about to do."""
        found = request.resolver_match
        if request.method in SAFE_METHODS or found is None or not STAFF_PARTS & set(found.app_names):
            return
        if request.user.is_authenticated and request.user.is_staff:
            _note(request, found.url_name or "", kwargs)


def staff_behind(request: HttpRequest) -> int | None:
    """The id of the member of staff who sees the site as the request's user; None where it is that user."""
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return None  # agents and the API have no session, and none is looked up for them
    history = request.session.get("hijack_history", [])
    return int(history[0]) if history else None


def _origin_of(request: HttpRequest) -> Origin:
    request_id = str(structlog.contextvars.get_contextvars().get("request_id", ""))
    return Origin(address=remote_address(request), request_id=request_id, behind=lambda: staff_behind(request))


def _note(request: HttpRequest, page: str, kwargs: dict[str, Any]) -> None:
    chosen = request.POST.getlist("_selected_action")
    audit_record(
        action="admin.act",
        actor=request.user if request.user.is_authenticated else None,
        now=timezone.now(),
        about=(page, kwargs.get("object_id") or kwargs.get("pk") or ", ".join(chosen)),
        message=request.POST.get("action", "") or request.path,
        details={"fields": dict(kept_fields(request.POST.lists())), "chosen": chosen[:200]},
    )
