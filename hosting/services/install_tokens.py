"""Install tokens: created by a host, used once by an agent."""

import re
import secrets
from datetime import datetime, timedelta

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting import hooks
from hosting.domain.secrets import INSTALL_TOKEN_PREFIX, secret_hash
from hosting.errors import HostingError
from hosting.models import InstallToken

LIFETIME = timedelta(days=7)
MAX_UNUSED_PER_HOST = 100
_FORM = re.compile(INSTALL_TOKEN_PREFIX + r"[A-Za-z0-9_-]{43,80}")


@transaction.atomic
def install_token_create(*, host: AbstractBaseUser, now: datetime, name: str = "") -> tuple[InstallToken, str]:
    """A new token and its text, which is never shown again. Raises HostingError(too_many_tokens)."""
    if len(name) > 80:
        raise HostingError("name_too_long", "A token's name has at most 80 characters.", field="name")
    unused = InstallToken.objects.filter(host_id=host.pk, machine=None, revoked_at=None, expires_at__gt=now).count()
    if unused >= MAX_UNUSED_PER_HOST:
        raise HostingError("too_many_tokens", f"You have {unused} unused install tokens. Use or revoke some first.")
    raw = INSTALL_TOKEN_PREFIX + secrets.token_urlsafe(32)
    token = InstallToken.objects.create(
        host_id=host.pk,
        name=name.strip(),
        token_hash=secret_hash(raw),
        prefix=raw[:10],
        created_at=now,
        expires_at=now + LIFETIME,
    )
    _audit("install_token.created", host, token, now)
    return token, raw


def _audit(action: str, host: AbstractBaseUser, token: InstallToken, now: datetime) -> None:
    what = f"{token.prefix} {token.name}".strip()
    hooks.market().audited(action=action, actor=host, owner_id=host.pk, message=what, now=now)


@transaction.atomic
def install_token_change(*, raw: str, replacement: str, now: datetime) -> InstallToken:
    """Give an unused token another secret, chosen by whoever holds it. Done again with the same two it changes nothing.

    Raises HostingError: bad_replacement (400), bad_token (401), token_used (409), token_expired (401).
    """
    if not _FORM.fullmatch(replacement):
        raise HostingError("bad_replacement", "The replacement does not have the form of a token.", status=400)
    new, old = secret_hash(replacement), secret_hash(raw)
    rows = InstallToken.objects.select_for_update().filter(token_hash__in=[new, old]).order_by("pk")
    found = {token.token_hash: token for token in rows}
    token = unused_token(found.get(new) or found.get(old), now)
    if token.token_hash != new:
        token.token_hash = new
        token.save(update_fields=["token_hash"])
    return token


def unused_token(token: InstallToken | None, now: datetime) -> InstallToken:
    """The token, if it may register a machine. Raises HostingError: bad_token, token_used, token_expired."""
    again = "Create a new one on Host / Setup."
    if token is None or token.revoked_at is not None:
        raise HostingError("bad_token", f"This install token is not valid. {again}", status=401)
    if token.machine_id is not None:
        text = f"This install token has registered another machine already. {again}"
        raise HostingError("token_used", text, status=409)
    if token.expires_at <= now:
        raise HostingError("token_expired", f"This install token has expired. {again}", status=401)
    return token


@transaction.atomic
def install_token_revoke(*, host: AbstractBaseUser, token_id: int, now: datetime) -> None:
    """Make an unused token useless. Raises HostingError(no_such_token)."""
    unused = InstallToken.objects.select_for_update(of=("self",)).filter(machine=None, revoked_at=None)
    token = unused.filter(pk=token_id, host_id=host.pk).first()
    if token is None:
        raise HostingError("no_such_token", "There is no unused token with this number.", status=404)
    token.revoked_at = now
    token.save(update_fields=["revoked_at"])
    _audit("install_token.revoked", host, token, now)
