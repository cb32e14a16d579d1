"""What a week's invoices are made of."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Q

from billing.domain.accrual import charge_at, units_at
from billing.domain.weeks import WEEK
from billing.models import Meter, MeterKind, Posting, WeeklyRun

# What each thing earned by each kind of use: all postings that this run can see and the one before could not. The
# quantity is told once for each entry, by its client's posting: charged seconds, or bytes.
USED = """
SELECT m.payee_id AS host_id, m.earner, m.kind,
    ROUND(SUM(CASE WHEN m.kind = 'traffic'
        THEN -p.amount_micros * 1000000000.0 / NULLIF((e.details->>'rate_micros')::numeric, 0)
        ELSE EXTRACT(EPOCH FROM e.occurred_at - (e.details->>'since')::timestamptz)
        END) FILTER (WHERE a.kind = 'client_credit'))::bigint AS quantity,
    -SUM(p.amount_micros) FILTER (WHERE a.kind = 'client_credit') AS gross_micros,
    COALESCE(SUM(p.amount_micros) FILTER (WHERE a.kind = 'host_earnings'), 0) AS net_micros
FROM billing_posting p
JOIN billing_ledgeraccount a ON a.id = p.account_id
JOIN billing_entry e ON e.id = p.entry_id AND e.kind = 'usage'
JOIN billing_meter m ON m.id = e.meter_id
WHERE (p.id > %(seen_id)s AND p.id <= %(through_id)s AND p.occurred_at <= %(until)s)
    OR (p.id <= %(seen_id)s AND p.occurred_at > %(since)s AND p.occurred_at <= %(until)s)
GROUP BY m.payee_id, m.earner, m.kind
"""


@dataclass(frozen=True, slots=True)
class UsedLine:
    """What one thing of a host's earned by one kind of use; quantity is seconds, or bytes for traffic."""

    host_id: int
    earner: str
    kind: str
    quantity: int
    gross_micros: int
    net_micros: int


def used_parameters(period_start: datetime, period_end: datetime, seen_id: int, through_id: int) -> dict[str, Any]:
    """The parameters of ``USED``: the run before looked as far as posting ``seen_id``, this one to ``through_id``."""
    return {"since": period_start, "until": period_end, "seen_id": seen_id, "through_id": through_id}


def seen_posting_id(period_start: datetime) -> int | None:
    """The last posting that the run of the week before looked at; None when there was none."""
    before = WeeklyRun.objects.filter(period_end=period_start)
    return before.values_list("through_posting_id", flat=True).first()


def week_preview(period_end: datetime, now: datetime) -> list[UsedLine]:
    """The lines that the invoices of this week would have, were it run at ``now``, in order of hosts.

    With what open meters have accrued up to the week's end (or ``now``, if that is earlier) and not posted. Reads only.
    """
    posted = _posted(period_end)
    accrued = _accrued(min(period_end, now))
    return sorted(_summed([*posted, *accrued]), key=lambda line: (line.host_id, line.earner, line.kind))


def _posted(period_end: datetime) -> list[UsedLine]:
    run = WeeklyRun.objects.filter(period_end=period_end).first()
    through_id = run.through_posting_id if run is not None else None
    if through_id is None:
        through_id = Posting.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    seen_id = seen_posting_id(period_end - WEEK)
    if seen_id is None and WeeklyRun.objects.filter(period_end__lt=period_end).exists():
        seen_id = through_id  # weeks between have not run yet: what they will take is not this one's
    with connection.cursor() as cursor:
        cursor.execute(USED, used_parameters(period_end - WEEK, period_end, seen_id or 0, through_id))
        return [
            UsedLine(host_id, earner, kind, int(quantity), int(gross), int(net))
            for host_id, earner, kind, quantity, gross, net in cursor.fetchall()
        ]


def _accrued(at: datetime) -> Iterable[UsedLine]:
    running = Q(running_since__isnull=False, settled_at__lt=at)
    traffic = Q(kind=MeterKind.TRAFFIC, settled_at__lt=at)
    for meter in Meter.objects.filter(running | traffic, closed_at=None).iterator():
        charge = charge_at(meter.state, at)
        if charge.total_micros:
            quantity = _quantity(meter, at)
            yield UsedLine(meter.payee_id, meter.earner, meter.kind, quantity, charge.total_micros, charge.host_micros)


def _quantity(meter: Meter, at: datetime) -> int:
    if meter.kind != MeterKind.TRAFFIC:
        return (at - meter.settled_at) // timedelta(seconds=1)
    state = meter.state
    return (units_at(state, at) - state.posted_micros * state.quantum) // max(state.rate_micros, 1)


def _summed(lines: Iterable[UsedLine]) -> list[UsedLine]:
    sums: dict[tuple[int, str, str], UsedLine] = {}
    for line in lines:
        key = (line.host_id, line.earner, line.kind)
        other = sums.get(key)
        sums[key] = line if other is None else _sum(line, other)
    return list(sums.values())


def _sum(line: UsedLine, other: UsedLine) -> UsedLine:
    return UsedLine(
        line.host_id,
        line.earner,
        line.kind,
        line.quantity + other.quantity,
        line.gross_micros + other.gross_micros,
        line.net_micros + other.net_micros,
    )
