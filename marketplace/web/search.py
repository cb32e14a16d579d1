"""The search page. It asks the same search as the API, with the query object that its filters make."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url
from django.utils import timezone
from django.views.decorators.http import require_GET

from marketplace import selectors
from marketplace.domain.query import narrowed, parse_query
from marketplace.domain.query_text import conditions_of_query
from marketplace.errors import MarketError
from marketplace.search import search_offers
from marketplace.template_lists import Chosen, template_chosen
from marketplace.web.search_form import (
    DEFAULT_DISK_GB,
    INTERRUPTIBLE,
    MOST_SHOWN,
    PAGE_SIZE,
    SearchForm,
    adaptation_words,
)

MOST_HASH_CHARS = 64


@require_GET
def search(request: HttpRequest) -> HttpResponse:
    """Filters and offers; for htmx the offers alone, with what is wrong in the filters."""
    chosen, problem = _chosen(request)
    form = SearchForm(
        request.GET,
        gpu_counts=selectors.offer_counts_by("gpu_name"),
        country_counts=selectors.offer_counts_by("country"),
        chosen=chosen.content if chosen else None,
    )
    if problem:
        form.add_error(None, problem)
    context = {"form": form, **_results(form), **_template_shown(chosen)}
    is_part = bool(request.headers.get("HX-Request")) and not request.headers.get("HX-History-Restore-Request")
    template = "marketplace/_search_results.html" if is_part else "marketplace/search.html"
    response = render(request, template, context, status=422 if form.errors else 200)
    response.headers["Vary"] = "HX-Request"
    return response


def _chosen(request: HttpRequest) -> tuple[Chosen | None, str]:
    """The template in the address, or why there is none."""
    hash_id = request.GET.get("template", "").strip().replace("\0", "")
    if not hash_id:
        return None, ""
    try:
        return template_chosen(request.user, hash_id=hash_id[:MOST_HASH_CHARS]), ""
    except MarketError:
        return None, "The template of this search is gone or private. Remove it, or choose another."


def _template_shown(chosen: Chosen | None) -> dict[str, Any]:
    if chosen is None:
        return {"template": None}
    return {
        "template": chosen.template,
        "template_content": chosen.content,
        "template_filters": conditions_of_query(chosen.content.extra_filters),
    }


def _results(form: SearchForm) -> dict[str, Any]:
    """The offers, or none when a filter makes no sense; the form then says which."""
    disk_gb = DEFAULT_DISK_GB
    adapted_to = ""
    offers: list[dict[str, Any]] = []
    shown = PAGE_SIZE
    if form.is_valid():
        disk_gb, shown = form.disk_gb(), form.limit_shown()
        try:
            query = narrowed(parse_query(form.query()), parse_query(form.template_filters()))
            adapted_to = adaptation_words(query.adaptation)
            offers = search_offers(query, now=timezone.now())
        except MarketError as refusal:
            form.add_error(None, refusal.message)
    return {
        "offers": _with_prices(offers[:shown]),
        "is_interruptible": form.is_interruptible(),
        "has_more": len(offers) > shown and shown < MOST_SHOWN,
        "next_limit": min(shown + PAGE_SIZE, MOST_SHOWN),
        "disk_gb": disk_gb,
        "adapted_to": adapted_to,
        "clear_url": resolve_url("search") + (f"?type={INTERRUPTIBLE}" if form.is_interruptible() else ""),
        "rent_query": _rent_query(form, disk_gb),
    }


def _rent_query(form: SearchForm, disk_gb: int) -> str:
    """What the rent dialog is told about the search: the disk that prices include, and how one wants to rent."""
    told: dict[str, object] = {"disk_gb": disk_gb}
    if form.is_interruptible():
        told["type"] = INTERRUPTIBLE
    if form.data.get("template"):
        told["template"] = form.data["template"][:MOST_HASH_CHARS]
    return urlencode(told)


def _with_prices(offers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The offers with both prices to the micro-dollar, per hour for all GPUs, whichever the search went by."""
    prices = selectors.offer_prices([offer["id"] for offer in offers])
    return [offer | {"prices": prices[offer["id"]]} for offer in offers]
