"""Proofs that the ledger is right. Each is one statement, so that work going on meanwhile cannot make it
look wrong.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from billing.domain.depletion import balance_micros_at, zero_at
from billing.models import LedgerAccount
from billing.selectors.wallets import client_wallets

OWNERS_PER_BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Something that does not hold: a stable code, what it is about, and a sentence."""

    code: str
    subject: str
    message: str


_QUERIES = {
    "entry_unbalanced": """
        SELECT 'entry ' || e.id, 'sums to ' || COALESCE(SUM(p.amount_micros)::text, 'nothing')
        FROM billing_entry e LEFT JOIN billing_posting p ON p.entry_id = e.id
        GROUP BY e.id HAVING SUM(p.amount_micros) IS DISTINCT FROM 0
    """,
    "posting_at_other_time": """
        SELECT 'posting ' || p.id, 'is dated ' || p.occurred_at || ', its entry ' || e.occurred_at
        FROM billing_posting p JOIN billing_entry e ON e.id = p.entry_id WHERE p.occurred_at <> e.occurred_at
    """,
    "checkpoint_wrong": """
        SELECT 'account ' || a.id,
            'checkpoint is ' || a.checkpoint_micros || ', its postings sum to ' ||
            COALESCE(SUM(p.amount_micros), 0)
        FROM billing_ledgeraccount a
        LEFT JOIN billing_posting p ON p.account_id = a.id AND p.id <= a.checkpoint_posting_id
        GROUP BY a.id HAVING COALESCE(SUM(p.amount_micros), 0) <> a.checkpoint_micros
    """,
    "meter_units_wrong": """
        SELECT 'meter ' || m.reference,
            'counts ' || m.units || ' units, its segments ' || COALESCE(s.units, 0)
        FROM billing_meter m LEFT JOIN (
            SELECT g.meter_id, SUM(g.rate_micros::numeric * CASE n.kind WHEN 'traffic' THEN g.counted_bytes
                ELSE EXTRACT(EPOCH FROM COALESCE(g.ended_at, n.settled_at) - g.started_at) * 1000000
                END) AS units
            FROM billing_metersegment g JOIN billing_meter n ON n.id = g.meter_id GROUP BY g.meter_id
        ) s ON s.meter_id = m.id
        WHERE m.units <> COALESCE(s.units, 0)
    """,
    "meter_total_wrong": """
        SELECT 'meter ' || reference, 'has posted ' || posted_micros || ' of ' || units || ' units'
        FROM (SELECT m.*, DIV(units, CASE kind WHEN 'traffic' THEN 1000000000 ELSE 3600000000 END) AS total
            FROM billing_meter m) t
        WHERE CASE WHEN kind = 'traffic' AND closed_at IS NULL THEN posted_micros > total
            ELSE posted_micros <> total END
    """,
    "meter_postings_wrong": """
        SELECT 'meter ' || m.reference,
            'has posted ' || m.posted_micros || ' (host ' || DIV(m.share_units, 10000) || ') in '
            || m.postings_count || ' entries, the ledger says ' || COALESCE(l.client, 0) || ' (host '
            || COALESCE(l.host, 0) || ') in ' || COALESCE(l.entries, 0)
        FROM billing_meter m LEFT JOIN (
            SELECT e.meter_id, COUNT(DISTINCT e.id) AS entries,
                -SUM(p.amount_micros) FILTER (
                    WHERE a.kind = 'client_credit' AND a.owner_id = n.payer_id) AS client,
                SUM(p.amount_micros) FILTER (
                    WHERE a.kind = 'host_earnings' AND a.owner_id = n.payee_id) AS host
            FROM billing_entry e JOIN billing_meter n ON n.id = e.meter_id
            JOIN billing_posting p ON p.entry_id = e.id JOIN billing_ledgeraccount a ON a.id = p.account_id
            WHERE e.kind = 'usage' GROUP BY e.meter_id
        ) l ON l.meter_id = m.id
        WHERE m.posted_micros <> COALESCE(l.client, 0) OR m.postings_count <> COALESCE(l.entries, 0)
            OR DIV(m.share_units, 10000) <> COALESCE(l.host, 0)
    """,
}


def ledger_check(now: datetime) -> list[Discrepancy]:
    """All that does not hold: entries that do not balance, checkpoints that differ from their postings,
    meters that differ from their segments or from what was posted for them, clients whose end of credit is
    wrong.

    It reads the whole ledger; meant for the night.
    """
    found = [item for code, query in _QUERIES.items() for item in _run(code, query)]
    return found + _wrong_ends_of_credit(now)


def _run(code: str, query: str) -> list[Discrepancy]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [Discrepancy(code, subject, f"{subject} {message}.") for subject, message in cursor.fetchall()]


def _wrong_ends_of_credit(now: datetime) -> list[Discrepancy]:
    """Only of clients with credit: the instant at which a debt began is not in the present state."""
    owners = LedgerAccount.objects.filter(kind="client_credit", reference="").order_by("pk")
    owner_ids = [owner_id for owner_id in owners.values_list("owner_id", flat=True) if owner_id is not None]
    found = []
    for start in range(0, len(owner_ids), OWNERS_PER_BATCH):
        for wallet in client_wallets(owner_ids[start : start + OWNERS_PER_BATCH]):
            instant = zero_at(wallet.posted_micros, wallet.meters, now, wallet.zero_at)
            if balance_micros_at(wallet.posted_micros, wallet.meters, now) > 0 and instant != wallet.zero_at:
                subject = f"account {wallet.account_id}"
                message = f"{subject} says its credit ends at {wallet.zero_at}, it ends at {instant}."
                found.append(Discrepancy("end_of_credit_wrong", subject, message))
    return found
