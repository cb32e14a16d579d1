"""Celery tasks: the clock is read here and nowhere below."""

import logging

from celery import shared_task
from django.utils import timezone

from billing import services

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
