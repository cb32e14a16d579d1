"""Writes the audit log, in the transaction of what it tells: neither is there without the other."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser

from marketplace.acting import origin
from marketplace.domain.audit import ACTIONS
from marketplace.models import AuditEntry


def audit_record(
    *,
    action: str,
    actor: AbstractBaseUser | None,
    now: datetime,
    account_id: int | None = None,
    about: tuple[str, object] = ("", ""),
    message: str = "",
    details: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Append one entry. ``about`` is kind and number of the object, ``account_id`` whose account it concerns.

    Where it came from is the present request's affair (marketplace.acting). Raises ValueError for an unknown action.
    """
    if action not in ACTIONS:
        raise ValueError(f"{action!r} is no action of the audit log")
    come_from = origin.get()
    actor_id = actor.pk if actor is not None and actor.is_authenticated else None
    behind_id = come_from.behind()
    return AuditEntry.objects.create(
        at=now,
        action=action,
        actor_id=actor_id,
        behind_id=None if behind_id == actor_id else behind_id,
        account_id=account_id,
        object_type=about[0],
        object_id=str(about[1])[:60],
        message=message[:2000],
        details=dict(details or {}),
        address=come_from.address[:45],
        request_id=come_from.request_id[:60],
    )
