"""How a template looks in the API."""

import shlex
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser

from marketplace.domain.docker_options import options_text
from marketplace.models import Template
from marketplace.template_lists import author_name

_NAMES = """
    id hash_id creator_id author name desc image tag default_tag href repo runtype use_ssh ssh_direct jup_direct
    use_jupyter_lab jupyter_dir env onstart args args_str entrypoint docker_login_repo extra_filters
    recommended_disk_space readme readme_visible private recommended count_created created_at recent_create_date
"""
TEMPLATE_COLUMNS = tuple(_NAMES.split())


def template_json(template: Template, reader: AbstractBaseUser | AnonymousUser) -> dict[str, Any]:
    """The template object. ``template`` comes from ``templates_with_use``."""
    content = template.content
    is_own = reader.pk is not None and template.owner_id == reader.pk
    last_rental = getattr(template, "last_rental", None)
    return {
        "id": template.pk,
        "hash_id": template.hash_id,
        "creator_id": template.owner_id,
        "author": author_name(template),
        "name": content.name,
        "desc": content.desc or None,
        "image": content.image,
        "tag": content.tag or None,
        "default_tag": content.tag or None,
        "href": content.href or None,
        "repo": content.repo or None,
        "runtype": content.runtype,
        "use_ssh": content.runtype != "args",
        "ssh_direct": content.ssh_direct,
        "jup_direct": content.jup_direct,
        "use_jupyter_lab": content.use_jupyter_lab,
        "jupyter_dir": content.jupyter_dir or None,
        "env": options_text(content.env, content.ports),
        "onstart": content.onstart or None,
        "args": list(content.args),
        "args_str": shlex.join(content.args),
        "entrypoint": content.entrypoint or None,
        "docker_login_repo": content.docker_login_repo or None,
        "extra_filters": content.extra_filters,
        "recommended_disk_space": float(content.disk_gb),
        "readme": content.readme if is_own or content.readme_visible else None,
        "readme_visible": content.readme_visible,
        "private": template.private,
        "recommended": template.featured,
        "count_created": getattr(template, "rentals", 0),
        "created_at": template.created_at.timestamp(),
        "recent_create_date": None if last_rental is None else last_rental.timestamp(),
    }
