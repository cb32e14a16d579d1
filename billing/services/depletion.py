"""Keeps the instant at which each client's credit is used up."""

from collections.abc import Collection
from datetime import datetime

from django.db import connection

from billing.domain.depletion import zero_at
from billing.selectors.wallets import client_wallets

_SAVE = """
UPDATE billing_ledgeraccount a SET zero_at = z.zero_at
FROM unnest(%s::bigint[], %s::timestamptz[]) AS z (id, zero_at)
WHERE a.id = z.id
"""


def zero_at_refresh(*, owner_ids: Collection[int], now: datetime) -> None:
    """Recomputes ``zero_at`` of these clients. The caller holds their locks, so that what is read stays
    true.
    """
    changed = [
        (wallet.account_id, instant)
        for wallet in client_wallets(owner_ids)
        if (instant := zero_at(wallet.posted_micros, wallet.meters, now, wallet.zero_at)) != wallet.zero_at
    ]
    if changed:
        with connection.cursor() as cursor:
            cursor.execute(_SAVE, [[pk for pk, _ in changed], [instant for _, instant in changed]])
