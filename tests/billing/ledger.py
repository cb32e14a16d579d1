"""What the tests ask the ledger, straight from its rows."""

from billing.models import AccountKind, Entry, LedgerAccount, Meter, Posting
from marketplace.models import User


def postings_of(entry: Entry) -> dict[tuple[str, str], int]:
    """The entry's amounts by kind of account and owner's address (empty for accounts nobody owns)."""
    rows = entry.postings.select_related("account__owner")
    return {(row.account.kind, row.account.owner.email if row.account.owner else ""): row.amount_micros for row in rows}


def posted_micros(kind: AccountKind, owner: User | None = None) -> int:
    """The sum of all postings on an account; checkpoints are not used."""
    amounts = Posting.objects.filter(account__kind=kind, account__owner=owner).values_list("amount_micros", flat=True)
    return sum(amounts)


def meter(reference: str) -> Meter:
    return Meter.objects.get(reference=reference)


def account(kind: AccountKind, owner: User | None) -> LedgerAccount:
    return LedgerAccount.objects.get(kind=kind, owner=owner)
