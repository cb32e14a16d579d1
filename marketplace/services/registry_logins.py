"""Logins to registries that an account keeps: store, delete, look up, and what a rental uses."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting.domain.registries import Login, login_problem
from hosting.gateways.sealing import SealError, mark_of, reseal
from hosting.models import Task
from hosting.sealed_logins import opened, sealed
from marketplace.errors import MarketError
from marketplace.models import RegistryLogin
from marketplace.services.audit import audit_record

MOST_LOGINS = 20


def registry_login_save(*, user: AbstractBaseUser, login: Login, now: datetime) -> RegistryLogin:
    """Keep the login, in the place of an earlier one to the same registry.

    Raises MarketError: invalid_args, too_many_logins.
    """
    if wrong := login_problem(login):
        raise MarketError("invalid_args", wrong, field="password")
    with transaction.atomic():
        others = RegistryLogin.objects.filter(user_id=user.pk).exclude(registry=login.registry)
        if others.count() >= MOST_LOGINS:
            raise MarketError("too_many_logins", f"You have {MOST_LOGINS} logins. Delete one first.", field="registry")
        kept, _ = RegistryLogin.objects.update_or_create(
            user_id=user.pk,
            registry=login.registry,
            defaults={"username": login.username, "sealed": sealed(login), "created_at": now},
        )
        _audit("registry_login.saved", user, login.registry, now)
    return kept


@transaction.atomic
def registry_login_delete(*, user: AbstractBaseUser, login_id: int, now: datetime) -> None:
    """Forget a login. Instances keep theirs. Raises MarketError(no_such_login, 404)."""
    kept = RegistryLogin.objects.filter(user_id=user.pk, pk=login_id).first()
    if kept is None:
        raise MarketError("no_such_login", f"You have no registry login {login_id}.", status=404)
    kept.delete()
    _audit("registry_login.deleted", user, kept.registry, now)


def _audit(action: str, user: AbstractBaseUser, registry: str, now: datetime) -> None:
    audit_record(action=action, actor=user, account_id=user.pk, message=registry, now=now)


def kept_login(user: AbstractBaseUser, registry: str, *, field: str) -> Login:
    """The login that the account keeps for a registry. Raises MarketError(no_such_login, 400), naming ``field``."""
    row = RegistryLogin.objects.filter(user_id=user.pk, registry=registry).first()
    login = opened(row.sealed) if row is not None else None
    if login is None:
        message = f"You have stored no login to {registry}: add one to your account, or give user and password here."
        raise MarketError("no_such_login", message, field=field)
    return login


def login_mark(login: Login | None) -> str:
    """Tells a login from others, to recognise a request; nobody can make the login of it."""
    return "" if login is None else mark_of("\0".join((login.registry, login.username, login.password)))


def logins_reseal() -> tuple[int, int]:
    """Encrypt all logins anew by the newest key; how many were, and how many can't be read any more."""
    done = lost = 0
    for model, column in ((RegistryLogin, "sealed"), (Task, "registry_login")):
        rows = model._default_manager.exclude(**{column: ""})
        for pk, text in rows.values_list("pk", column).iterator():
            try:
                fresh = reseal(text)
            except SealError:
                lost += 1
                continue
            done += model._default_manager.filter(**{"pk": pk, column: text}).update(**{column: fresh})
    return done, lost
