"""Celery tasks: the clock is read here and nowhere below."""

import logging
from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from billing import services
from billing.domain.weeks import week_end_by

SETTLING_TIME = timedelta(minutes=10)
"""After a week's end: by then machines that fell silent before it are known to be offline."""

log = logging.getLogger(__name__)


@shared_task
def settle_running_meters() -> int:
    """Posts what meters accrued up to the full hour, so that hours and weeks end where postings do."""
    return services.settle_running(now=timezone.now().replace(minute=0, second=0, microsecond=0))


@shared_task
def checkpoint_ledger() -> int:
    """Moves the checkpoints of all accounts."""
    return services.checkpoint_accounts(now=timezone.now())


@shared_task
def check_ledger() -> int:
    """Proves the ledger and records the result."""
    run = services.ledger_check_record(now=timezone.now())
    if run.discrepancies_count:
        log.error("The ledger has %d discrepancies; see ledger check run %d.", run.discrepancies_count, run.pk)
    return run.discrepancies_count


@shared_task
def invoice_weeks() -> int:
    """Invoices the weeks that are over and not invoiced yet, usually one on Fridays; tells hosts; returns how many."""
    now = timezone.now()
    runs = services.weekly_runs(now=now, until=week_end_by(now - SETTLING_TIME))
    services.invoices_tell(now=now)
    return len(runs)


@shared_task
def carry_payouts() -> int:
    """Makes payouts that are due, sends those that wait, asks about those on their way; returns how many left."""
    services.payouts_create(now=timezone.now())
    sent = services.payouts_send(now=timezone.now())
    services.payouts_look(now=timezone.now())
    services.methods_refresh(now=timezone.now())
    return sent
