"""Reads of templates: lists, the one that a hash names, and what shows of their authors."""

from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, F, Max, Q, QuerySet

from marketplace.access import template_for, visible_templates
from marketplace.domain.rent import TemplateUsed
from marketplace.domain.templates import TemplateContent, content_of
from marketplace.errors import MarketError
from marketplace.models import Template, TemplateVersion

Reader = AbstractBaseUser | AnonymousUser
GROUPS = ("own", "starter", "public")


@dataclass(frozen=True)
class Chosen:
    """A template and the content of it that was asked for, which may be a former one."""

    template: Template
    content: TemplateContent

    @property
    def used(self) -> TemplateUsed:
        """What a rental notes of it."""
        return TemplateUsed(template_id=self.template.pk, hash_id=self.content.hash_id, name=self.content.name)


def templates_with_use(reader: Reader) -> QuerySet[Template]:
    """What the reader may see with ``rentals`` and ``last_rental``: how often instances were made of it, and when."""
    return (
        visible_templates(reader)
        .annotate(rentals=Count("instances"), last_rental=Max("instances__created_at"))
        .order_by("pk")
    )


def templates_in(reader: Reader, group: str, words: str = "") -> QuerySet[Template]:
    """The reader's own ("own"), the recommended ("starter") or all other public ones, with all the words in them."""
    found = templates_with_use(reader)
    if group == "own":
        found = found.filter(owner_id=reader.pk) if reader.pk is not None else found.none()
    elif group == "starter":
        found = found.filter(featured=True, private=False, hidden=False)
    else:
        found = found.filter(featured=False, private=False, hidden=False)
    for word in words.split():
        found = found.filter(
            Q(name__icontains=word) | Q(document__image__icontains=word) | Q(document__desc__icontains=word)
        )
    return found.order_by(F("rentals").desc(), "name", "pk") if group == "public" else found.order_by("name", "pk")


def template_chosen(reader: Reader, *, hash_id: str = "", template_id: int | None = None) -> Chosen:
    """The template that a hash or a number names.

    By hash, the reader's own comes before others', and present contents before former ones.
    Raises MarketError(no_such_template, 404).
    """
    if template_id is not None:
        template = template_for(reader, template_id)
        return Chosen(template, template.content)
    present = list(visible_templates(reader).filter(hash_id=hash_id).order_by("pk")) if hash_id else []
    if present:
        best = next((one for one in present if reader.pk is not None and one.owner_id == reader.pk), present[0])
        return Chosen(best, best.content)
    former = (
        TemplateVersion.objects.filter(template__in=visible_templates(reader), hash_id=hash_id)
        .select_related("template__owner")
        .order_by("pk")
        .first()
    )
    if former is None:
        raise MarketError("no_such_template", f"There is no template {hash_id[:40]!a}.", status=404)
    return Chosen(former.template, content_of(former.document))


def author_name(template: Template) -> str:
    """How the author is called in public: never by an address."""
    if template.owner is None:
        return str(settings.SITE_NAME)
    return template.owner.full_name or f"Member {template.owner.pk}"
