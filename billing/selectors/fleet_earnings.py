"""What all hosts together earned, for figures about the market. No account is named."""

from datetime import datetime

from django.db import connection

_EARNED = """
SELECT m.earner, SUM(p.amount_micros)::bigint
FROM billing_posting p
JOIN billing_ledgeraccount a ON a.id = p.account_id AND a.kind = 'host_earnings'
JOIN billing_entry e ON e.id = p.entry_id AND e.kind = 'usage'
JOIN billing_meter m ON m.id = e.meter_id
WHERE p.occurred_at > %s AND p.occurred_at <= %s
GROUP BY m.earner
"""


def earned_by_earner(since: datetime, until: datetime) -> dict[str, int]:
    """The hosts' part in micro-dollars of what was posted in the period, by what earned it: "machine:7".

    What runs is posted each hour: the last hour may be missing.
    """
    with connection.cursor() as cursor:
        cursor.execute(_EARNED, [since, until])
        return dict(cursor.fetchall())
