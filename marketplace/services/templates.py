"""Templates: create, change, copy, publish, delete, feature, hide."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, transaction

from marketplace.access import template_for, template_of
from marketplace.domain.templates import MOST_TEMPLATES, MOST_VERSIONS, TemplateContent, named, problems
from marketplace.errors import MarketError
from marketplace.locks import lock_template
from marketplace.models import Template, TemplateVersion


def template_create(*, owner: AbstractBaseUser, content: TemplateContent, private: bool, now: datetime) -> Template:
    """A template of the account. One that says exactly the same is returned as it is: a retry makes no second.

    Raises MarketError: invalid_args (field named), too_many_templates.
    """
    _refuse_nonsense(content)
    with transaction.atomic():
        own = Template.objects.filter(owner_id=owner.pk, deleted_at=None)
        same = own.filter(hash_id=content.hash_id).first()
        if same is not None:
            return _with_visibility(same, private=private, now=now)
        if own.count() >= MOST_TEMPLATES:
            raise MarketError("too_many_templates", f"You have {MOST_TEMPLATES} templates. Delete one first.")
        template, _ = Template.objects.get_or_create(
            owner_id=owner.pk,
            hash_id=content.hash_id,
            deleted_at=None,
            defaults={
                "name": content.name,
                "document": content.document(),
                "private": private,
                "created_at": now,
                "updated_at": now,
            },
        )
    return template


@transaction.atomic
def template_update(
    *,
    owner: AbstractBaseUser,
    template_id: int,
    content: TemplateContent,
    private: bool,
    now: datetime,
    expected_hash: str = "",
) -> Template:
    """Give the template another content, and so another hash. The old one stays rentable by its own hash.

    Raises MarketError: no_such_template, not_yours, invalid_args, template_changed (409: ``expected_hash`` is neither
    what it says now nor the cause of it), template_exists (409: another one of the account says the same).
    """
    _refuse_nonsense(content)
    template_of(owner, template_id)
    template = lock_template(template_id)
    if content.hash_id == template.hash_id:
        return _with_visibility(template, private=private, now=now)
    if expected_hash not in ("", template.hash_id):
        message = "The template was changed since: look it up again and repeat the change."
        raise MarketError("template_changed", message, status=409)
    _keep_version(template, now)
    template.hash_id, template.name, template.document = content.hash_id, content.name, content.document()
    template.private, template.updated_at = private, now
    try:
        with transaction.atomic():
            template.save()
    except IntegrityError as error:
        message = "Another template of yours says exactly the same."
        raise MarketError("template_exists", message, status=409) from error
    return template


def _refuse_nonsense(content: TemplateContent) -> None:
    found = problems(content)
    if found:
        field, message = next(iter(found.items()))
        raise MarketError("invalid_args", message, field=field)


def _with_visibility(template: Template, *, private: bool, now: datetime) -> Template:
    if template.private != private:
        template.private, template.updated_at = private, now
        template.save(update_fields=["private", "updated_at"])
    return template


def _keep_version(template: Template, now: datetime) -> None:
    """Note what it said so far, and forget what it said long ago."""
    TemplateVersion.objects.update_or_create(
        template=template,
        hash_id=template.hash_id,
        defaults={"document": template.document, "replaced_at": now},
    )
    kept = template.versions.order_by("-replaced_at", "-pk").values_list("pk", flat=True)[:MOST_VERSIONS]
    template.versions.exclude(pk__in=list(kept)).delete()


def template_copy(*, user: AbstractBaseUser, template_id: int, now: datetime) -> Template:
    """A private copy for the user of a template that it may see. Raises MarketError: no_such_template, ..."""
    source = template_for(user, template_id).content
    taken = set(Template.objects.filter(owner_id=user.pk, deleted_at=None).values_list("name", flat=True))
    name = f"Copy of {source.name}"
    count = 2
    while named(source, name).name in taken and count <= MOST_TEMPLATES:
        name = f"Copy {count} of {source.name}"
        count += 1
    return template_create(owner=user, content=named(source, name), private=True, now=now)


@transaction.atomic
def template_publish(*, owner: AbstractBaseUser, template_id: int, private: bool, now: datetime) -> Template:
    """Show the template to everybody, or to its owner alone. Raises MarketError: no_such_template, not_yours."""
    template_of(owner, template_id)
    return _with_visibility(lock_template(template_id), private=private, now=now)


@transaction.atomic
def template_delete(*, owner: AbstractBaseUser, template_id: int, now: datetime) -> None:
    """Nobody finds it or rents with it any more; instances go on. Raises MarketError: no_such_template, not_yours."""
    template_of(owner, template_id)
    template = lock_template(template_id)
    template.deleted_at = now
    template.save(update_fields=["deleted_at"])
    template.versions.all().delete()


def template_moderate(
    *, template_id: int, featured: bool | None = None, hidden: bool | None = None, now: datetime
) -> None:
    """Staff put a template among the recommended ones, or take it from public view; None leaves it as it is."""
    with transaction.atomic():
        template = lock_template(template_id)
        template.featured = template.featured if featured is None else featured
        template.hidden = template.hidden if hidden is None else hidden
        template.updated_at = now
        template.save(update_fields=["featured", "hidden", "updated_at"])


@transaction.atomic
def starter_set(*, starters: dict[str, TemplateContent], now: datetime) -> int:
    """Bring the platform's own templates to these contents; what staff decided about them stays. Returns how many.

    Any number of times, and by several at once.
    """
    for key, content in starters.items():
        _refuse_nonsense(content)
        Template.objects.get_or_create(
            starter_key=key,
            defaults={
                "hash_id": content.hash_id,
                "name": content.name,
                "document": content.document(),
                "private": False,
                "featured": True,
                "created_at": now,
                "updated_at": now,
            },
        )
        template = lock_template(Template.objects.values_list("pk", flat=True).get(starter_key=key))
        if template.hash_id != content.hash_id:
            _keep_version(template, now)
            template.hash_id, template.name, template.document = content.hash_id, content.name, content.document()
            template.updated_at = now
            template.save(update_fields=["hash_id", "name", "document", "updated_at"])
    return len(starters)
