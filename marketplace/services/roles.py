"""Makes the staff's roles what the code says they are: Django's groups, which nobody edits."""

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db import transaction

from marketplace.domain.roles import ROLES, permissions_of

APPS = ("marketplace", "hosting", "billing", "account")
"""Whose permissions roles are made of."""


@transaction.atomic
def roles_sync() -> None:
    """Give each role exactly its permissions. Those that do not exist yet are made first: Django makes them only after
    it has told that an app was migrated, one app after the other."""
    for app in APPS:
        create_permissions(apps.get_app_config(app), verbosity=0)
    rows = Permission.objects.filter(content_type__app_label__in=APPS)
    by_name = {f"{app}.{code}": pk for pk, app, code in rows.values_list("pk", "content_type__app_label", "codename")}
    for role in ROLES:
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.set([by_name[name] for name in permissions_of(role, by_name)])
