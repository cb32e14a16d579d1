"""Keeps the instant at which each client's credit is used up."""

from collections.abc import Collection
from datetime import datetime

from billing.domain.depletion import zero_at
from billing.models import LedgerAccount
from billing.selectors.wallets import client_wallets


def zero_at_refresh(*, owner_ids: Collection[int], now: datetime) -> None:
    """Recomputes ``zero_at`` of these clients. The caller holds their locks, so that what is read stays
    true.
    """
    for wallet in client_wallets(owner_ids):
        instant = zero_at(wallet.posted_micros, wallet.meters, now, wallet.zero_at)
        if instant != wallet.zero_at:
            LedgerAccount.objects.filter(pk=wallet.account_id).update(zero_at=instant)
