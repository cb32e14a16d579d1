"""The weekly run: invoices for all hosts in one statement, against one host after the other in its own transaction.

Every host has one machine whose GPU time and storage were posted for the week. The run is the real service, from the
week that is over to the finished run; run again, it has to make nothing. The peer does for each host what the service
does for all: it reads the host's postings of the week by index, groups them, and writes an invoice with its lines.
"""

import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

from tests.benchmarks import auction_world as world
from tests.benchmarks import billing_world
from tests.benchmarks.figures import Comparison, slope, tell

TARGET = 10.0
SAMPLE = 200
"""Hosts that the peer invoices; what it takes for each doesn't depend on how many there are."""
WEEK_END = datetime(2026, 3, 6, tzinfo=UTC)

_USED = """
WITH used AS (
    SELECT e.id, e.meter_id, e.occurred_at, e.details, p.amount_micros AS net_micros
    FROM billing_posting p JOIN billing_entry e ON e.id = p.entry_id AND e.kind = 'usage'
    WHERE p.account_id = %(account)s AND p.occurred_at > %(since)s AND p.occurred_at <= %(until)s
)
SELECT m.earner, m.kind,
    SUM(EXTRACT(EPOCH FROM u.occurred_at - (u.details->>'since')::timestamptz))::bigint,
    -SUM(c.amount_micros), SUM(u.net_micros)
FROM used u JOIN billing_meter m ON m.id = u.meter_id
JOIN billing_posting c ON c.entry_id = u.id AND c.account_id = m.payer_id
GROUP BY m.earner, m.kind
"""


def report(sizes: Sequence[int], repeats: int, large_repeats: int) -> None:
    """One ledger of each size."""
    together = []
    for hosts in sizes:
        billing_world.ledger(f"week_{hosts}", instances=hosts, clients=max(1, hosts // 2), hosts=hosts, until=WEEK_END)
        comparison = invoiced(hosts, repeats if hosts < 50_000 else large_repeats)
        together.append(statistics.median(comparison.subject))
        tell(comparison)
    if len(sizes) > 1:
        tell(f"growth of the cost of each host with their number: {slope(list(sizes), together):.2f}")


def invoiced(hosts: int, repeats: int) -> Comparison:
    """Milliseconds for each host."""
    comparison = Comparison(f"weekly run for {hosts} hosts", "ms", "peer/subject", at_least=TARGET)
    sample = min(SAMPLE, hosts // 2)
    for _ in range(repeats):
        world.execute("TRUNCATE billing_hostinvoiceline, billing_hostinvoice, billing_weeklyrun CASCADE")
        run_id = one_by_one_run()
        began = time.perf_counter()
        for number in range(1, sample + 1):
            host_invoice(run_id, number)
        one_by_one = (time.perf_counter() - began) / sample
        world.execute("TRUNCATE billing_hostinvoiceline, billing_hostinvoice, billing_weeklyrun CASCADE")
        comparison.add(seconds_of_run(hosts) / hosts * 1e3, one_by_one * 1e3)
    return comparison


def seconds_of_run(hosts: int) -> float:
    """The run of the week, and that nothing comes of running it again."""
    from billing.models import HostInvoice  # noqa: PLC0415 - Django is set up by now
    from billing.services import weekly  # noqa: PLC0415 - Django is set up by now

    now = WEEK_END + timedelta(minutes=10)
    began = time.perf_counter()
    (run,) = weekly.weekly_runs(now=now)
    taken = time.perf_counter() - began
    assert run.invoices_count == hosts, f"{run.invoices_count} invoices"
    newest = HostInvoice.objects.latest("pk").pk
    weekly.weekly_run_repeat(run_id=run.pk)
    (again,) = weekly.weekly_runs(now=now)
    assert (again.pk, again.net_micros) == (run.pk, run.net_micros)
    assert HostInvoice.objects.latest("pk").pk == newest, "a week was invoiced twice"
    return taken


def one_by_one_run() -> int:
    """The row of the week that the peer's invoices belong to."""
    from billing.domain.weeks import WEEK  # noqa: PLC0415 - Django is set up by now
    from billing.models import WeeklyRun  # noqa: PLC0415 - Django is set up by now

    return WeeklyRun.objects.create(period_start=WEEK_END - WEEK, period_end=WEEK_END, started_at=WEEK_END).pk


@transaction.atomic
def host_invoice(run_id: int, number: int) -> None:
    """The peer: one host's invoice, by itself."""
    from billing.domain.weeks import WEEK  # noqa: PLC0415 - Django is set up by now
    from billing.models import HostInvoice, HostInvoiceLine  # noqa: PLC0415 - Django is set up by now

    host, since = billing_world.HOSTS + number, WEEK_END - WEEK
    with connection.cursor() as cursor:
        cursor.execute(_USED, {"account": host, "since": since, "until": WEEK_END})
        used = cursor.fetchall()
    gross, net = sum(row[3] for row in used), sum(row[4] for row in used)
    invoice = HostInvoice.objects.create(
        number=f"{WEEK_END:%Y%m%d}-{host}",
        host_id=host,
        run_id=run_id,
        period_start=since,
        period_end=WEEK_END,
        gross_micros=gross,
        fee_micros=gross - net,
        net_micros=net,
        issued_at=WEEK_END,
    )
    HostInvoiceLine.objects.bulk_create(
        HostInvoiceLine(
            invoice=invoice,
            earner=earner,
            kind=kind,
            quantity=quantity,
            gross_micros=charged,
            fee_micros=charged - earned,
            net_micros=earned,
        )
        for earner, kind, quantity, charged, earned in used
    )
