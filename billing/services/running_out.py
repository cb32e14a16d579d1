"""Tells clients that their credit ends, has ended, and what that meant for their disks.

``LedgerAccount.credit_stage`` is the last stage that was dealt with. A sweep compares it with the stage that is due:
forward the client is told, once; backward, after a top-up, it may be told anew.
"""

from collections.abc import Sequence
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import Q

from billing import hooks
from billing.domain.running_out import (
    DAY,
    CreditEnd,
    CreditWarning,
    Stage,
    disks_deleted,
    stage_at,
    used_up,
    volumes_deleted,
    warning_of,
)
from billing.models import AccountKind, LedgerAccount
from billing.selectors.terms import debt_terms

logger = structlog.get_logger(__name__)


def credit_warnings_send(*, now: datetime) -> int:
    """Warn of ends of credit and of disks to come; returns how many accounts came to another stage.

    A sweep that comes late skips the warnings that later ones have overtaken.
    """
    near = Q(zero_at__lte=now + DAY) | Q(credit_stage__gt=Stage.LASTS)
    accounts = LedgerAccount.objects.filter(near, kind=AccountKind.CLIENT_CREDIT).order_by("pk")
    return sum(_swept(account, now) for account in accounts)


def credit_used_up_tell(*, owner_id: int, used_up_at: datetime, now: datetime) -> None:
    """Tell a client, once, that its credit was used up at ``used_up_at`` and what ran was stopped."""
    _tell(owner_id, used_up(used_up_at, debt_terms()), used_up_at, now)


def disks_deleted_tell(
    *,
    owner_id: int,
    deleted_at: datetime,
    instance_ids: Sequence[int],
    now: datetime,
    volume_ids: Sequence[int] = (),
) -> None:
    """Tell a client, once each, that these instances, or these volumes, were deleted because it stayed in debt."""
    warning = volumes_deleted(deleted_at, volume_ids) if volume_ids else disks_deleted(deleted_at, instance_ids)
    _tell(owner_id, warning, deleted_at, now)


def _swept(account: LedgerAccount, now: datetime) -> bool:
    """Whatever goes wrong with one account must not keep the sweeper from the others."""
    try:
        return _advance(account, now)
    except Exception:
        logger.exception("credit_warning_failed", account_id=account.pk)
        return False


@transaction.atomic
def _advance(account: LedgerAccount, now: datetime) -> bool:
    end, terms = CreditEnd(account.zero_at, account.debt_limit_at), debt_terms()
    stage = stage_at(end, terms, now)
    as_seen = LedgerAccount.objects.filter(
        pk=account.pk, credit_stage=account.credit_stage, zero_at=account.zero_at, debt_limit_at=account.debt_limit_at
    )
    if stage == account.credit_stage or not as_seen.update(credit_stage=stage):
        return False
    warning = warning_of(stage, end, terms, now) if stage > account.credit_stage else None
    if warning is not None and account.zero_at is not None and account.owner_id is not None:
        _tell(account.owner_id, warning, account.zero_at, now)
    return True


def _tell(owner_id: int, warning: CreditWarning, about: datetime, now: datetime) -> None:
    hooks.money().tell(
        owner_id=owner_id,
        kind=warning.kind,
        key=f"credit:{owner_id}:{warning.name}:{about.isoformat()}",
        subject=warning.subject,
        text=warning.text,
        now=now,
    )
