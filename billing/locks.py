"""Every lock billing takes, in one order.

0. One request for an adjustment, by whoever decides about it; the terms of one account, which hold their requests
too. 1. Client credit accounts, by primary key. Whoever holds a client's account may write that client's meters,
the instant its credit ends, its payments with their refunds and disputes, its cards and its auto-billing; nothing
else of the client needs a lock. Other apps lock their machines and instances before. 2. For checkpoints any
accounts, for payouts the earnings of hosts, by primary key. 3. The shared lock on postings, taken by a trigger on
every insert of postings; exclusively by a checkpoint or a weekly run, alone and for a moment.

Accounts of hosts and of the platform are not locked to post on them: nothing about them is updated, so they
are never hot.
"""

from collections.abc import Collection

from django.db import OperationalError, connection, transaction

from billing.domain.errors import LedgerBusyError
from billing.models import AccountKind, AccountTerms, AdjustmentRequest, LedgerAccount, Posting

POSTINGS_LOCK_KEY = 836201174401
"""Also in migration 0002."""
HORIZON_TRIES = 5
HORIZON_WAIT_MS = 500


def adjustment(request_id: int) -> AdjustmentRequest:
    """The request, locked until the transaction ends: of two who decide at once, one sees what the other did."""
    return AdjustmentRequest.objects.select_for_update(no_key=True).get(pk=request_id)


def account_terms(owner_id: int) -> AccountTerms:
    """What is agreed with the account, made when first needed, locked until the transaction ends."""
    AccountTerms.objects.get_or_create(owner_id=owner_id)
    return AccountTerms.objects.select_for_update(no_key=True).get(owner_id=owner_id)


def client_accounts(owner_ids: Collection[int]) -> list[LedgerAccount]:
    """The credit accounts of these clients, locked until the transaction ends."""
    accounts = LedgerAccount.objects.select_for_update(no_key=True)
    return list(accounts.filter(kind=AccountKind.CLIENT_CREDIT, owner_id__in=owner_ids, reference="").order_by("pk"))


def accounts(account_ids: Collection[int]) -> list[LedgerAccount]:
    """These accounts of any kind, locked until the transaction ends."""
    return list(LedgerAccount.objects.select_for_update(no_key=True).filter(pk__in=account_ids).order_by("pk"))


def host_accounts(owner_ids: Collection[int]) -> list[LedgerAccount]:
    """The earnings of these hosts, locked until the transaction ends: one payout at a time is taken from them, and what
    is held of them changes."""
    accounts = LedgerAccount.objects.select_for_update(no_key=True)
    return list(accounts.filter(kind=AccountKind.HOST_EARNINGS, owner_id__in=owner_ids, reference="").order_by("pk"))


def posting_horizon() -> int:
    """An id up to which every posting is final: no transaction in flight will still commit one.

    Raises LedgerBusyError when postings stay in flight; it gives way early, because new postings queue
    behind it.
    """
    for _ in range(HORIZON_TRIES):
        try:
            return _posting_horizon_once()
        except OperationalError as error:
            refusal = error
    raise LedgerBusyError("Postings in flight did not end in time; the checkpoint waits for the next run.") from refusal


@transaction.atomic
def _posting_horizon_once() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{HORIZON_WAIT_MS}ms"])
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [POSTINGS_LOCK_KEY])
    return Posting.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
