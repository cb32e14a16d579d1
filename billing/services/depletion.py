"""Keeps the instant at which each client's credit is used up."""

from collections.abc import Collection
from datetime import datetime

from django.db import connection

from billing.domain.depletion import below_at, zero_at
from billing.selectors.wallets import Wallet, client_wallets

_SAVE = """
UPDATE billing_ledgeraccount a SET zero_at = z.zero_at, threshold_at = z.threshold_at
FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[]) AS z (id, zero_at, threshold_at)
WHERE a.id = z.id
"""


def zero_at_refresh(*, owner_ids: Collection[int], now: datetime) -> None:
    """Recomputes ``zero_at`` and ``threshold_at`` of these clients. The caller holds their locks, so that what is read
    stays true.
    """
    changed = [
        (wallet.account_id, *instants)
        for wallet in client_wallets(owner_ids)
        if (instants := _instants(wallet, now)) != (wallet.zero_at, wallet.threshold_at)
    ]
    if changed:
        with connection.cursor() as cursor:
            cursor.execute(_SAVE, [list(column) for column in zip(*changed, strict=True)])


def _instants(wallet: Wallet, now: datetime) -> tuple[datetime | None, datetime | None]:
    posted, meters, threshold = wallet.posted_micros, wallet.meters, wallet.threshold_micros
    below = None if threshold is None else below_at(posted, meters, threshold, now, wallet.threshold_at)
    return zero_at(posted, meters, now, wallet.zero_at), below
