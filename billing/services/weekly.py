"""The weekly run: one invoice for every host that earned something, for every week that is over.

The row of a week says how far it is; whoever runs goes on from there. A run that is killed anywhere, doubled or late
leads to the same invoices: which postings are on them is fixed before the first is written.
"""

from datetime import datetime

from django.db import connection, transaction
from django.db.models import Min, Sum

from billing import hooks, locks
from billing.domain.errors import WeekNotOverError
from billing.domain.money import format_dollars
from billing.domain.notices import INVOICE_ISSUED
from billing.domain.weeks import WEEK, week_end_after, week_end_by
from billing.models import HostInvoice, Meter, WeeklyRun, WeeklyRunState
from billing.selectors.weeks import USED, seen_posting_id, used_parameters
from billing.services.settlement import settle_running

TOLD_PER_BATCH = 500

_INVOICE = f"""
WITH used AS MATERIALIZED ({USED}), made AS (
    INSERT INTO billing_hostinvoice
        (number, host_id, run_id, period_start, period_end, gross_micros, fee_micros, net_micros, issued_at)
    SELECT %(prefix)s || host_id, host_id, %(run_id)s, %(period_start)s, %(until)s,
        SUM(gross_micros), SUM(gross_micros - net_micros), SUM(net_micros), %(now)s
    FROM used GROUP BY host_id
    ON CONFLICT DO NOTHING
    RETURNING id, host_id
), lined AS (
    INSERT INTO billing_hostinvoiceline
        (invoice_id, earner, kind, quantity, gross_micros, fee_micros, net_micros)
    SELECT made.id, earner, kind, quantity, gross_micros, gross_micros - net_micros, net_micros
    FROM used JOIN made USING (host_id)
)
SELECT COUNT(*) FROM made
"""  # noqa: S608  # both parts are constants


def weekly_runs(*, now: datetime, until: datetime | None = None) -> list[WeeklyRun]:
    """Invoices every week that is over at ``now`` and not invoiced yet, in their order; returns those it finished.

    ``until``, the end of a week, stops there; WeekNotOverError if it lies ahead. Raises LedgerBusyError when postings
    in flight did not end in time; the next call goes on.
    """
    last = week_end_by(now)
    if until is not None and until > last:
        raise WeekNotOverError(f"The week to {until:%Y-%m-%d} is not over.")
    finished = []
    while (run := _next_run(until or last, now)) is not None:
        _run(run, now)
        finished.append(run)
    return finished


def weekly_run_repeat(*, run_id: int) -> bool:
    """Opens a finished run again, for the next call of ``weekly_runs``; False when it is open.

    Its invoices stay; were any missing, they would be made.
    """
    done = WeeklyRun.objects.filter(pk=run_id, state=WeeklyRunState.DONE)
    return bool(done.update(state=WeeklyRunState.OPEN, finished_at=None))


def _next_run(until: datetime, now: datetime) -> WeeklyRun | None:
    """The first week that is not done, up to the one that ends at ``until``; its row is made when there is none."""
    # Before the look at what is unfinished: a row that somebody else makes meanwhile is found by that.
    period_end = _first_week_without_run()
    unfinished = WeeklyRun.objects.filter(state=WeeklyRunState.OPEN, period_end__lte=until)
    run = unfinished.order_by("period_end").first()
    if run is not None:
        return run
    if period_end is None or period_end > until:
        return None
    new = WeeklyRun(period_start=period_end - WEEK, period_end=period_end, started_at=now)
    WeeklyRun.objects.bulk_create([new], ignore_conflicts=True)
    return WeeklyRun.objects.get(period_end=period_end)


def _first_week_without_run() -> datetime | None:
    """The week after the last run; the first ever is that of the first meter. None before there are meters."""
    last = WeeklyRun.objects.order_by("-period_end").values_list("period_end", flat=True).first()
    if last is not None:
        return last + WEEK
    opened: datetime | None = Meter.objects.aggregate(first=Min("opened_at"))["first"]
    return None if opened is None else week_end_after(opened)


def _run(run: WeeklyRun, now: datetime) -> None:
    if run.through_posting_id is None:
        settle_running(now=run.period_end)
        unseen = WeeklyRun.objects.filter(pk=run.pk, through_posting_id=None)
        unseen.update(through_posting_id=locks.posting_horizon())
        run.refresh_from_db()
    _invoice(run, run.through_posting_id or 0, now)
    _finish(run, now)


@transaction.atomic
def _invoice(run: WeeklyRun, through_posting_id: int, now: datetime) -> int:
    """Writes the invoices of the week that there are not yet, with their lines, in one statement; returns how many."""
    seen_id = seen_posting_id(run.period_start) or 0
    parameters = {
        **used_parameters(run.period_start, run.period_end, seen_id, through_posting_id),
        "prefix": f"{run.period_end:%Y%m%d}-",
        "run_id": run.pk,
        "period_start": run.period_start,
        "now": now,
    }
    with connection.cursor() as cursor:
        cursor.execute(_INVOICE, parameters)
        made: int = cursor.fetchone()[0]
    return made


def _finish(run: WeeklyRun, now: datetime) -> None:
    sums = run.invoices.aggregate(gross=Sum("gross_micros"), net=Sum("net_micros"))
    run.invoices_count = run.invoices.count()
    run.gross_micros, run.net_micros = sums["gross"] or 0, sums["net"] or 0
    run.state, run.finished_at = WeeklyRunState.DONE, now
    run.save()


def invoices_tell(*, now: datetime) -> int:
    """Mails hosts that their invoices are there, once for each; returns how many mails were queued."""
    told = 0
    while batch := _tell_batch(now):
        told += batch
    return told


@transaction.atomic
def _tell_batch(now: datetime) -> int:
    invoices = list(HostInvoice.objects.filter(told_at=None).order_by("pk")[:TOLD_PER_BATCH])
    for invoice in invoices:
        hooks.money().tell(
            owner_id=invoice.host_id,
            kind=INVOICE_ISSUED,
            key=f"invoice:{invoice.number}",
            subject=f"Invoice {invoice.number}: ${format_dollars(invoice.net_micros)} earned",
            text=_told(invoice),
            now=now,
            data={"invoice": invoice.number, "net_micros": invoice.net_micros},
        )
    HostInvoice.objects.filter(pk__in=[invoice.pk for invoice in invoices]).update(told_at=now)
    return len(invoices)


def _told(invoice: HostInvoice) -> str:
    return (
        f"In the week to {invoice.period_end:%d %B %Y} your machines earned ${format_dollars(invoice.net_micros)}:"
        f" clients paid ${format_dollars(invoice.gross_micros)},"
        f" of which ${format_dollars(invoice.fee_micros)} are the marketplace's fee."
    )
