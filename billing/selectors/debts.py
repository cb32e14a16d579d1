"""Who is in debt, since when, and how long disks are kept for it."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser

from billing.domain.running_out import CreditEnd
from billing.models import AccountKind, LedgerAccount
from billing.selectors.terms import debt_terms


def disks_end_at(user: AbstractBaseUser, now: datetime) -> datetime | None:
    """When the disks of a client whose credit is used up are deleted; None while it has credit, or pays for nothing."""
    return _ends(now, owner_id=user.pk).get(user.pk)


def overdue_payers(now: datetime) -> dict[int, datetime]:
    """Clients that are too long or too deep in debt by now, with the instants from which on they are."""
    return {owner_id: end for owner_id, end in _ends(now).items() if end <= now}


def _ends(now: datetime, **narrowed: int) -> dict[int, datetime]:
    """By owner, of all in debt."""
    indebted = LedgerAccount.objects.filter(kind=AccountKind.CLIENT_CREDIT, zero_at__lte=now, **narrowed)
    terms = debt_terms()
    rows = indebted.order_by("pk").values_list("owner_id", "zero_at", "debt_limit_at")
    ends = {owner_id: CreditEnd(zero_at, limit_at).disks_end_at(terms) for owner_id, zero_at, limit_at in rows}
    return {owner_id: end for owner_id, end in ends.items() if owner_id is not None and end is not None}
