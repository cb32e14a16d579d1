"""Everything on an account's credit and earnings but use: payments, refunds, transfers, payouts."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Q, QuerySet

from billing.models import AccountKind, EntryKind, LedgerAccount, Posting

NOT_USE = tuple(kind.value for kind in EntryKind if kind != EntryKind.USAGE)


@dataclass(frozen=True, slots=True)
class AccountMovement:
    """One movement; positive is to the credit of the account's holder."""

    posting_id: int
    occurred_at: datetime
    kind: str
    memo: str
    amount_micros: int


def movements(
    user: AbstractBaseUser,
    since: datetime,
    until: datetime,
    *,
    kinds: Collection[str] = NOT_USE,
    limit: int | None = None,
    after: tuple[datetime, int] | None = None,
    latest_first: bool = False,
) -> list[AccountMovement]:
    """The account's movements of these kinds after ``since`` and up to ``until``, oldest first unless told otherwise.

    ``after`` is the instant and the posting of the row behind which the page begins.
    """
    rows = _postings(user, since, until, kinds)
    if after is not None:
        at, posting_id = after
        later = Q(occurred_at__lt=at) | Q(occurred_at=at, pk__lt=posting_id)
        earlier = Q(occurred_at__gt=at) | Q(occurred_at=at, pk__gt=posting_id)
        rows = rows.filter(later if latest_first else earlier)
    ordered = rows.order_by("-occurred_at", "-pk") if latest_first else rows.order_by("occurred_at", "pk")
    values = ordered.values_list("pk", "occurred_at", "entry__kind", "entry__memo", "amount_micros")
    return [AccountMovement(*row) for row in values[:limit]]


def movements_count(
    user: AbstractBaseUser, since: datetime, until: datetime, *, kinds: Collection[str] = NOT_USE
) -> int:
    """How many ``movements`` there are in all."""
    return _postings(user, since, until, kinds).count()


def _postings(user: AbstractBaseUser, since: datetime, until: datetime, kinds: Collection[str]) -> QuerySet[Posting]:
    accounts = LedgerAccount.objects.filter(
        owner_id=user.pk, kind__in=(AccountKind.CLIENT_CREDIT, AccountKind.HOST_EARNINGS), reference=""
    )
    account_ids = list(accounts.values_list("pk", flat=True))
    return Posting.objects.filter(
        account_id__in=account_ids, occurred_at__gt=since, occurred_at__lte=until, entry__kind__in=kinds
    )
