"""Account statements."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser

from billing.models import AccountKind, Posting


@dataclass(frozen=True, slots=True)
class StatementRow:
    """One movement on an account; positive is to the credit of its holder."""

    posting_id: int
    occurred_at: datetime
    kind: str
    memo: str
    reference: str
    """The meter that charged; empty for other movements."""
    amount_micros: int


def statement(
    user: AbstractBaseUser,
    limit: int = 100,
    before_id: int | None = None,
    account_kind: AccountKind = AccountKind.CLIENT_CREDIT,
) -> list[StatementRow]:
    """The newest ``limit`` movements on the user's credit, newest first; ``before_id`` continues below a
    posting.
    """
    postings = Posting.objects.filter(account__kind=account_kind, account__owner_id=user.pk)
    if before_id is not None:
        postings = postings.filter(pk__lt=before_id)
    newest = postings.select_related("entry__meter").order_by("-pk")[:limit]
    return [_row(posting) for posting in newest]


def _row(posting: Posting) -> StatementRow:
    entry = posting.entry
    reference = entry.meter.reference if entry.meter is not None else ""
    return StatementRow(posting.pk, entry.occurred_at, entry.kind, entry.memo, reference, posting.amount_micros)
