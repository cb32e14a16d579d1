"""The one read behind every balance: what the ledger says and every open meter, from one snapshot."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from psycopg2.sql import SQL, Composed, Identifier

from billing.domain.accrual import MeterState
from billing.domain.running_out import CreditEnd
from billing.models import AccountKind
from billing.models.meter import quantum_of

# One statement, because a settlement between two would be seen in one of them only. The account is
# materialised so that its postings are summed once and not once per meter.
_WALLETS = SQL("""
WITH wallet AS MATERIALIZED (
    SELECT a.id, a.owner_id, a.zero_at, a.debt_limit_at, a.threshold_micros, a.threshold_at,
        a.checkpoint_micros + COALESCE((
        SELECT SUM(p.amount_micros) FROM billing_posting p
        WHERE p.account_id = a.id AND p.id > a.checkpoint_posting_id), 0) AS posted_micros
    FROM billing_ledgeraccount a
    WHERE a.kind = %s AND a.reference = '' AND a.owner_id = ANY(%s)
)
SELECT w.id, w.owner_id, w.zero_at, w.debt_limit_at, w.threshold_micros, w.threshold_at, w.posted_micros,
    m.kind, m.rate_micros, m.units, m.settled_at, m.running_since IS NOT NULL,
    m.posted_micros, m.share_units, m.host_share_bps
FROM wallet w LEFT JOIN billing_meter m ON m.{party} = w.owner_id AND m.closed_at IS NULL
ORDER BY w.id
""")
_PARTY = {AccountKind.CLIENT_CREDIT: "payer_id", AccountKind.HOST_EARNINGS: "payee_id"}


@dataclass(frozen=True, slots=True)
class Wallet:
    """An account with what is in the ledger and the open meters that change it."""

    account_id: int
    owner_id: int
    end: CreditEnd
    threshold_micros: int | None
    """Of auto-billing; None while it is off."""
    threshold_at: datetime | None
    posted_micros: int
    meters: list[MeterState] = field(default_factory=list)


def client_wallets(owner_ids: Collection[int]) -> list[Wallet]:
    """The credit of these clients with the meters they pay, ordered by account."""
    return _wallets(AccountKind.CLIENT_CREDIT, owner_ids)


def host_wallets(owner_ids: Collection[int]) -> list[Wallet]:
    """The earnings of these hosts with the meters that earn for them, ordered by account."""
    return _wallets(AccountKind.HOST_EARNINGS, owner_ids)


def _wallets(kind: AccountKind, owner_ids: Collection[int]) -> list[Wallet]:
    query: Composed = _WALLETS.format(party=Identifier(_PARTY[kind]))
    wallets: dict[int, Wallet] = {}
    with connection.cursor() as cursor:
        cursor.execute(query, [kind.value, list(owner_ids)])
        for account_id, owner_id, zero_at, limit_at, threshold, threshold_at, posted, *meter in cursor.fetchall():
            known = Wallet(account_id, owner_id, CreditEnd(zero_at, limit_at), threshold, threshold_at, int(posted))
            wallet = wallets.setdefault(account_id, known)
            if meter[0] is not None:
                wallet.meters.append(_meter_state(*meter))
    return list(wallets.values())


def _meter_state(
    kind: str, rate: int, units: Decimal, settled_at: datetime, running: bool, *posted_share_bps: Any
) -> MeterState:
    posted, share_units, bps = posted_share_bps
    return MeterState(rate, quantum_of(kind), int(units), settled_at, running, posted, int(share_units), bps)
