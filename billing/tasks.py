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
def send_credit_warnings() -> int:
    """Every few seconds: clients whose credit ends soon, and those whose disks do."""
    return services.credit_warnings_send(now=timezone.now())


@shared_task
def checkpoint_ledger() -> int:
    """Moves the checkpoints of all accounts."""
    return services.checkpoint_accounts(now=timezone.now())


@shared_task
def check_ledger() -> int:
    """Proves the ledger, once a night, and records the result."""
    run = services.ledger_check_if_due(now=timezone.now())
    if run is None:
        return 0
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


@shared_task
def process_provider_events() -> int:
    """Every second, and as soon as a webhook came: what payment providers told."""
    return services.events_process(now=timezone.now())


@shared_task
def charge_due_clients() -> int:
    """Every few seconds: clients with auto-billing whose balance has fallen under their threshold."""
    return services.auto_billing_charge_due(now=timezone.now())


@shared_task
def reconcile_payments() -> int:
    """Every half minute: payments and refunds that should have been heard of."""
    return services.payments_reconcile(now=timezone.now())


@shared_task
def catch_up_on_events() -> int:
    """Every few minutes: events that no webhook brought."""
    return services.events_catch_up(now=timezone.now())
