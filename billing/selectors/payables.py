"""Who is to be paid how much."""

from collections.abc import Collection
from dataclasses import dataclass

from django.db import connection

from billing.domain.payout_holds import Held
from billing.models import WeeklyRun

# Earned later than the week that is paid: dated after it, or written when its invoices were made already.
_LATER = """
    COALESCE((SELECT SUM(p.amount_micros) FROM billing_posting p JOIN billing_entry e ON e.id = p.entry_id
        WHERE p.account_id = a.id AND (p.occurred_at > %(until)s OR p.id > %(through_id)s)
            AND e.kind NOT IN ('payout', 'payout_returned')), 0)
"""
_BALANCE = """
    a.checkpoint_micros + COALESCE((SELECT SUM(p.amount_micros) FROM billing_posting p
        WHERE p.account_id = a.id AND p.id > a.checkpoint_posting_id), 0)
"""
# A hold whose window reaches beyond the week holds only as much of this payout as was earned in the window by then.
_HELD_DUE = """
    CASE WHEN h.held_at <= %(until)s THEN h.amount_micros ELSE LEAST(h.amount_micros, COALESCE((
        SELECT SUM(p.amount_micros) FROM billing_posting p
        JOIN billing_entry e ON e.id = p.entry_id AND e.kind = 'usage'
        JOIN billing_meter m ON m.id = e.meter_id AND m.earner = h.earner
        WHERE p.account_id = a.id AND p.occurred_at > h.since AND p.occurred_at <= %(until)s
            AND p.id <= %(through_id)s), 0)) END
"""
_PAYABLES = f"""
SELECT a.owner_id, {_BALANCE}, {_LATER}, held.amount, held.due
FROM billing_ledgeraccount a
CROSS JOIN LATERAL (
    SELECT COALESCE(SUM(h.amount_micros), 0) AS amount, COALESCE(SUM({_HELD_DUE}), 0) AS due
    FROM billing_payouthold h WHERE h.host_id = a.owner_id AND h.state IN ('held', 'upheld')
) held
WHERE a.kind = 'host_earnings' AND a.reference = '' AND a.owner_id = ANY(%(owner_ids)s)
"""  # noqa: S608  # constants
_CANDIDATES = f"""
SELECT m.host_id
FROM billing_payoutmethod m
JOIN billing_ledgeraccount a ON a.kind = 'host_earnings' AND a.reference = '' AND a.owner_id = m.host_id
LEFT JOIN billing_accountterms t ON t.owner_id = m.host_id
WHERE m.state = 'ready' AND COALESCE(t.payouts_held_reason, '') = ''
    AND NOT EXISTS (SELECT 1 FROM billing_payout o
        WHERE o.run_id = %(run_id)s AND o.host_id = m.host_id AND o.state <> 'recalled')
    AND {_BALANCE} >= %(minimum)s
ORDER BY m.host_id
"""  # noqa: S608  # constants


@dataclass(frozen=True, slots=True)
class Payable:
    """A host's posted balance, the part of it that was earned after the week that is paid, and what is held of it;
    micro-dollars."""

    host_id: int
    balance_micros: int
    later_micros: int
    held: Held


def payable_hosts(run: WeeklyRun, minimum_micros: int) -> list[int]:
    """Hosts that may be due something for this run: ready, not held, not paid for it yet, with the minimum."""
    with connection.cursor() as cursor:
        cursor.execute(_CANDIDATES, {"run_id": run.pk, "minimum": minimum_micros})
        return [host_id for (host_id,) in cursor.fetchall()]


def payables(run: WeeklyRun, host_ids: Collection[int]) -> list[Payable]:
    """What these hosts have when ``run`` is paid, from one snapshot, in order of hosts."""
    until, through_id = run.period_end, run.through_posting_id or 0
    with connection.cursor() as cursor:
        cursor.execute(_PAYABLES, {"until": until, "through_id": through_id, "owner_ids": list(host_ids)})
        rows = cursor.fetchall()
    found = (
        Payable(host_id, int(balance), int(later), Held(int(amount), int(due)))
        for host_id, balance, later, amount, due in rows
    )
    return sorted(found, key=lambda row: row.host_id)
