"""Timelines of machines and accounts, a page at a time."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime

from django.contrib import admin
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.http import urlencode

from hosting.models import Machine
from marketplace.models import User
from marketplace.timeline import ACCOUNT_SOURCES, MACHINE_SOURCES, Moment, Place, account_moments, cut, machine_moments

MOMENTS_SHOWN = 100
COLUMNS = ("Time (UTC)", "Kind", "What", "About", "Who", "More")


def machine_timeline(request: HttpRequest, pk: int) -> HttpResponse:
    """What happened to a machine and on it."""
    machine = get_object_or_404(Machine, pk=pk)
    page = {"title": f"Timeline of machine {machine}", "back": ("admin:hosting_machine_change", pk)}
    return _page(request, pk, MACHINE_SOURCES.keys(), machine_moments, page)


def account_timeline(request: HttpRequest, pk: int) -> HttpResponse:
    """What an account did and what happened to it."""
    account = get_object_or_404(User, pk=pk)
    page = {"title": f"Timeline of {account.email}", "back": ("admin:marketplace_user_change", pk)}
    return _page(request, pk, ACCOUNT_SOURCES.keys(), account_moments, page)


def _page(
    request: HttpRequest,
    pk: int,
    known: Collection[str],
    moments_of: Callable[..., list[Moment]],
    page: Mapping[str, object],
) -> HttpResponse:
    chosen = [kind for kind in request.GET.getlist("kind") if kind in known]
    moments = moments_of(pk, before=_place(request), kinds=chosen, limit=MOMENTS_SHOWN + 1)
    shown, before = cut(moments, MOMENTS_SHOWN)
    older = urlencode(_words(before) | {"kind": chosen}, doseq=True) if before else ""
    context = admin.site.each_context(request) | dict(page)
    context |= {
        "columns": COLUMNS,
        "moments": shown,
        "kinds": [(kind, kind in chosen) for kind in known],
        "older": older,
    }
    return render(request, "admin/staff/timeline.html", context)


def _words(place: Place) -> dict[str, str | int | list[str]]:
    """A place, for an address."""
    return {"before": place.at.isoformat(), "source": place.kind, "number": place.pk}


def _place(request: HttpRequest) -> Place:
    """The place in the address; an instant alone will do, and nothing is now."""
    text, number = request.GET.get("before", ""), request.GET.get("number", "")
    if not text:
        return Place(timezone.now())
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequest("before is an instant as ISO 8601 writes it") from error
    at = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Place(at, request.GET.get("source", ""), int(number) if number.isdecimal() and len(number) < 19 else 0)
