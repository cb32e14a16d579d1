"""Keeps the instants at which each client's credit is used up and its debt reaches the limit."""

from collections.abc import Collection
from datetime import datetime

from django.db import connection

from billing.domain.running_out import credit_end
from billing.selectors.terms import debt_terms
from billing.selectors.wallets import client_wallets

_SAVE = """
UPDATE billing_ledgeraccount a SET zero_at = z.zero_at, debt_limit_at = z.debt_limit_at
FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[]) AS z (id, zero_at, debt_limit_at)
WHERE a.id = z.id
"""


def zero_at_refresh(*, owner_ids: Collection[int], now: datetime) -> None:
    """Recomputes ``zero_at`` and ``debt_limit_at`` of these clients. The caller holds their locks, so that what is read
    stays true.
    """
    limit_micros = debt_terms().limit_micros
    changed = [
        (wallet.account_id, end.zero_at, end.debt_limit_at)
        for wallet in client_wallets(owner_ids)
        if (end := credit_end(wallet.posted_micros, wallet.meters, now, wallet.end, limit_micros)) != wallet.end
    ]
    if changed:
        with connection.cursor() as cursor:
            cursor.execute(_SAVE, [list(column) for column in zip(*changed, strict=True)])
