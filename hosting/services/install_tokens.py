"""Install tokens: created by a host, used once by an agent."""

import secrets
from datetime import datetime, timedelta

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting.domain.secrets import INSTALL_TOKEN_PREFIX, secret_hash
from hosting.errors import HostingError
from hosting.models import InstallToken

LIFETIME = timedelta(days=7)
MAX_UNUSED_PER_HOST = 100


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
    return token, raw


def install_token_revoke(*, host: AbstractBaseUser, token_id: int, now: datetime) -> None:
    """Make an unused token useless. Raises HostingError(no_such_token)."""
    updated = InstallToken.objects.filter(pk=token_id, host_id=host.pk, machine=None, revoked_at=None).update(
        revoked_at=now
    )
    if not updated:
        raise HostingError("no_such_token", "There is no unused token with this number.", status=404)
