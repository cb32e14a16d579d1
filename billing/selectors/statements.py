"""Account statements."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser

from billing.models import AccountKind, LedgerAccount, Posting


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
    accounts = LedgerAccount.objects.filter(kind=account_kind, owner_id=user.pk, reference="")
    # By the account's id, known beforehand: through a join PostgreSQL might walk all postings from the newest.
    account_id = accounts.values_list("pk", flat=True).first()
    postings = Posting.objects.filter(account_id=account_id)
    if before_id is not None:
        postings = postings.filter(pk__lt=before_id)
    rows = postings.order_by("-pk").values_list(
        "pk", "occurred_at", "entry__kind", "entry__memo", "entry__meter__reference", "amount_micros"
    )
    return [
        StatementRow(posting_id, occurred_at, kind, memo, reference or "", amount)
        for posting_id, occurred_at, kind, memo, reference, amount in rows[:limit]
    ]
