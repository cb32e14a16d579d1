"""Notes behind each request who it comes from, and each act of staff in the audit log before it happens."""

from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.contrib.admin.options import IncorrectLookupParameters
from django.forms import BooleanField
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from hosting.domain.texts import clean
from hosting.request_address import remote_address
from marketplace.acting import Origin, origin
from marketplace.domain.audit import kept_fields
from marketplace.models import User
from marketplace.services.audit import audit_record

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
STAFF_PARTS = frozenset({"admin", "staff"})
"""Namespaces of the administration's addresses."""
NUMBERS = ("object_id", "pk", "id")
"""What addresses call the number of the row that they are about."""
OWN_FIELDS = frozenset(
    {"action", "index", "select_across", "reason", "evicts", "usable_password", "password1", "password2"}
)
"""What forms of the administration ask for that are not one model's."""
MOST_CHOSEN = 200


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
    number = next((kwargs[name] for name in NUMBERS if name in kwargs), "")
    chosen = [clean(pk, 60) for pk in request.POST.getlist("_selected_action")]
    action = clean(", ".join(request.POST.getlist("action")), 200)
    audit_record(
        action="admin.act",
        actor=request.user if request.user.is_authenticated else None,
        now=timezone.now(),
        account_id=_account_meant(request, page, str(number)),
        about=(page, clean(str(number)) or ", ".join(chosen)),
        message=clean(f"{request.path} {action}", 500).strip(),
        details=_details(request, chosen) | {"arguments": {name: clean(str(kwargs[name]), 200) for name in kwargs}},
    )


def _details(request: HttpRequest, chosen: list[str]) -> dict[str, Any]:
    """The address with its filters, what the form has and which rows were chosen, all of them if so."""
    kept = kept_fields(request.POST.lists(), _known_fields(request))
    return {
        "address": clean(request.get_full_path(), 2000),
        "fields": dict(kept.fields),
        "fields_dropped": kept.dropped,
        "chosen": chosen[:MOST_CHOSEN],
        "chosen_count": _count_of_all(request) if _means_all(request) else len(chosen),
        "all": _means_all(request),
    }


def _admin_page(request: HttpRequest) -> Any:
    """The model's page of the administration that the request goes to, if it is one of those."""
    return getattr(request.resolver_match.func, "model_admin", None) if request.resolver_match else None


def _known_fields(request: HttpRequest) -> set[str]:
    """Names that the form behind the page asks for."""
    page = _admin_page(request)
    if page is None:
        return set(OWN_FIELDS)
    fields = page.model._meta.fields + page.model._meta.many_to_many
    return set(OWN_FIELDS) | {field.name for field in fields} | set(page.get_form(request).base_fields)


def _means_all(request: HttpRequest) -> bool:
    """Read as Django's form reads it."""
    return bool(BooleanField(required=False).clean(request.POST.get("select_across", "0")))


def _count_of_all(request: HttpRequest) -> int | None:
    """How many rows the list has with its filters; None where there is no such list."""
    page = _admin_page(request)
    try:
        return None if page is None else int(page.get_changelist_instance(request).get_queryset(request).count())
    except IncorrectLookupParameters:
        return None


def _account_meant(request: HttpRequest, page: str, number: str) -> int | None:
    """Whose page it is, where it is an account's."""
    own = page.startswith("account_") or page == "auth_user_password_change"
    if not number.isdecimal() or not (own or getattr(_admin_page(request), "model", None) is User):
        return None
    return User.objects.filter(pk=int(number)).values_list("pk", flat=True).first()
