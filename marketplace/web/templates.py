"""Templates: the lists, one of them, the form, and the chooser of the search page."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from marketplace.access import template_for, template_of
from marketplace.domain.query_text import conditions_of_query
from marketplace.domain.templates import TemplateContent
from marketplace.errors import MarketError
from marketplace.models import Template
from marketplace.services.templates import (
    template_copy,
    template_create,
    template_delete,
    template_publish,
    template_update,
)
from marketplace.template_lists import Reader, author_name, templates_in, templates_with_use
from marketplace.web.requests import UserRequest
from marketplace.web.template_form import TemplateForm

MOST_SHOWN = 100
MOST_CHOICES = 30
TITLES = {"own": "Yours", "starter": "Recommended", "public": "From other members"}


@dataclass(frozen=True)
class TemplateView:
    """A template as pages show it."""

    template: Template
    is_own: bool

    @property
    def content(self) -> TemplateContent:
        return self.template.content

    @property
    def author(self) -> str:
        return author_name(self.template)

    @property
    def filters(self) -> list[str]:
        return conditions_of_query(self.content.extra_filters)

    @property
    def rentals(self) -> int:
        return int(getattr(self.template, "rentals", 0))


def _views(reader: Reader, group: str, words: str, most: int) -> list[TemplateView]:
    return [_view(template, reader) for template in templates_in(reader, group, words)[:most]]


def _view(template: Template, reader: Reader) -> TemplateView:
    return TemplateView(template, is_own=reader.pk is not None and template.owner_id == reader.pk)


def _groups(request: HttpRequest, most: int) -> list[tuple[str, list[TemplateView]]]:
    """Titles with what the words in the search field find."""
    words = request.GET.get("q", "").replace("\0", "")[:100]
    found = [(title, _views(request.user, group, words, most)) for group, title in TITLES.items()]
    return [(title, views) for title, views in found if views]


@require_GET
def templates(request: HttpRequest) -> HttpResponse:
    """The lists, with a search field; for htmx the lists alone."""
    context = {"groups": _groups(request, MOST_SHOWN), "words": request.GET.get("q", "")[:100]}
    is_part = request.headers.get("HX-Target") == "template-list"
    name = "_list" if is_part else "list"
    response = render(request, f"marketplace/templates/{name}.html", context)
    response.headers["Vary"] = "HX-Target"
    return response


@require_GET
def choose(request: HttpRequest) -> HttpResponse:
    """The dialog of the search page. What was searched for stays; the template and what it changed are exchanged."""
    kept = request.GET.copy()
    for name in ("template", "template_off", "q", "limit", "disk"):
        kept.pop(name, None)
    for name in [name for name, value in kept.items() if not value]:
        kept.pop(name)
    context = {
        "groups": _groups(request, MOST_CHOICES),
        "words": request.GET.get("q", "")[:100],
        "kept_query": f"{kept.urlencode()}&" if kept else "",
    }
    is_part = request.headers.get("HX-Target") == "template-choices"
    name = "_choices" if is_part else "choose"
    return render(request, f"marketplace/templates/{name}.html", context)


@require_GET
def template(request: HttpRequest, template_id: int) -> HttpResponse:
    """One template with all that it says."""
    template_for(request.user, template_id)
    found = templates_with_use(request.user).get(pk=template_id)
    return render(request, "marketplace/templates/template.html", {"view": _view(found, request.user)})


@login_required
@require_http_methods(["GET", "POST"])
def create(request: UserRequest) -> HttpResponse:
    """A new template."""
    if request.method != "POST":
        return _form(request, TemplateForm())
    form = TemplateForm(request.POST)
    if form.is_valid():
        try:
            made = template_create(
                owner=request.user,
                content=form.content(),
                private=not form.cleaned_data["public"],
                now=timezone.now(),
            )
        except MarketError as refusal:
            _add_error(form, refusal)
        else:
            messages.success(request, f"The template “{made.name}” is saved.")
            return redirect("template", made.pk)
    return _form(request, form, status=422)


@login_required
@require_http_methods(["GET", "POST"])
def edit(request: UserRequest, template_id: int) -> HttpResponse:
    """Change a template of one's own."""
    found = template_of(request.user, template_id)
    before, public = found.content, not found.private
    if request.method != "POST":
        return _form(request, TemplateForm(before=before, public=public), found)
    form = TemplateForm(request.POST, before=before, public=public)
    if form.is_valid():
        try:
            template_update(
                owner=request.user,
                template_id=template_id,
                content=form.content(),
                private=not form.cleaned_data["public"],
                expected_hash=request.POST.get("hash_id", ""),
                now=timezone.now(),
            )
        except MarketError as refusal:
            _add_error(form, refusal)
        else:
            messages.success(request, "The template is saved. Instances that were made with it stay as they are.")
            return redirect("template", template_id)
    return _form(request, form, found, status=422)


def _add_error(form: TemplateForm, refusal: MarketError) -> None:
    names = {"mode": "runtype"}
    field = names.get(refusal.field or "", refusal.field)
    form.add_error(field if field in form.fields else None, refusal.message)


def _form(
    request: UserRequest, form: TemplateForm, found: Template | None = None, *, status: int = 200
) -> HttpResponse:
    context: dict[str, Any] = {"form": form, "template": found}
    if found is not None:
        context["hash_id"] = request.POST.get("hash_id", found.hash_id)
    return render(request, "marketplace/templates/form.html", context, status=status)


@login_required
@require_POST
def copy(request: UserRequest, template_id: int) -> HttpResponse:
    """A private copy to change."""
    made = template_copy(user=request.user, template_id=template_id, now=timezone.now())
    messages.success(request, f"“{made.name}” is yours, and private.")
    return redirect("template_edit", made.pk)


@login_required
@require_POST
def publish(request: UserRequest, template_id: int) -> HttpResponse:
    """Make a template public or private."""
    private = request.POST.get("private") == "1"
    template_publish(owner=request.user, template_id=template_id, private=private, now=timezone.now())
    done = "Nobody else sees the template now." if private else "Everybody may see the template and rent with it now."
    messages.success(request, done)
    return redirect("template", template_id)


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: UserRequest, template_id: int) -> HttpResponse:
    """Ask, then delete."""
    found = template_of(request.user, template_id)
    if request.method != "POST":
        return render(request, "marketplace/templates/delete.html", {"template": found})
    template_delete(owner=request.user, template_id=template_id, now=timezone.now())
    messages.success(request, f"The template “{found.name}” is deleted.")
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": resolve_url("templates")})
    return redirect("templates")
