"""Ledger accounts: made when first needed, locked before a client's money or meters change."""

from collections.abc import Collection, Iterable

from django.db import transaction

from billing import locks
from billing.models import AccountKind, LedgerAccount


@transaction.atomic
def accounts_lock(*, payer_ids: Iterable[int]) -> None:
    """Locks the credit of these clients until the transaction ends, in the one order.

    For callers that check a balance before they let a client spend it, and for transactions that will
    change the meters of several clients.
    """
    owner_ids = set(payer_ids)
    accounts_ensure(AccountKind.CLIENT_CREDIT, owner_ids)
    locks.client_accounts(owner_ids)


def accounts_ensure(kind: AccountKind, owner_ids: Collection[int]) -> None:
    """Makes the accounts of this kind that the owners lack. A concurrent maker is waited for, never
    doubled.
    """
    known = LedgerAccount.objects.filter(kind=kind, owner_id__in=owner_ids, reference="")
    missing = set(owner_ids) - set(known.values_list("owner_id", flat=True))
    new = [LedgerAccount(kind=kind, owner_id=owner_id) for owner_id in sorted(missing)]
    LedgerAccount.objects.bulk_create(new, ignore_conflicts=True)


def owned_account_ids(kind: AccountKind, owner_ids: Collection[int]) -> dict[int, int]:
    """Account ids of this kind by owner."""
    accounts = LedgerAccount.objects.filter(kind=kind, owner_id__in=owner_ids, reference="")
    return {owner: pk for pk, owner in accounts.values_list("pk", "owner_id") if owner is not None}


def system_account_id(kind: AccountKind, reference: str = "") -> int:
    """The id of an account that nobody owns, made when first needed."""
    accounts = LedgerAccount.objects.filter(kind=kind, owner=None, reference=reference).values_list("pk", flat=True)
    found = accounts.first()
    if found is None:
        LedgerAccount.objects.bulk_create([LedgerAccount(kind=kind, reference=reference)], ignore_conflicts=True)
        found = accounts.get()
    return found
