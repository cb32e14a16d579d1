"""Keeps the instants at which each client's credit is used up, its debt reaches the limit, and auto-billing charges."""

from collections.abc import Collection
from datetime import datetime

from django.db import connection

from billing.domain.depletion import below_at
from billing.domain.running_out import credit_end
from billing.selectors.terms import debt_terms
from billing.selectors.wallets import Wallet, client_wallets

_SAVE = """
UPDATE billing_ledgeraccount a SET zero_at = z.zero_at, debt_limit_at = z.debt_limit_at, threshold_at = z.threshold_at
FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
    AS z (id, zero_at, debt_limit_at, threshold_at)
WHERE a.id = z.id
"""

_Instants = tuple[datetime | None, datetime | None, datetime | None]


def zero_at_refresh(*, owner_ids: Collection[int], now: datetime) -> None:
    """Recomputes ``zero_at``, ``debt_limit_at`` and ``threshold_at`` of these clients. The caller holds their locks, so
    that what is read stays true.
    """
    limit_micros = debt_terms().limit_micros
    changed = [
        (wallet.account_id, *instants)
        for wallet in client_wallets(owner_ids)
        if (instants := _instants(wallet, limit_micros, now))
        != (wallet.end.zero_at, wallet.end.debt_limit_at, wallet.threshold_at)
    ]
    if changed:
        with connection.cursor() as cursor:
            cursor.execute(_SAVE, [list(column) for column in zip(*changed, strict=True)])


def _instants(wallet: Wallet, limit_micros: int, now: datetime) -> _Instants:
    posted, meters, threshold = wallet.posted_micros, wallet.meters, wallet.threshold_micros
    below = None if threshold is None else below_at(posted, meters, threshold, now, wallet.threshold_at)
    end = credit_end(posted, meters, now, wallet.end, limit_micros)
    return end.zero_at, end.debt_limit_at, below
