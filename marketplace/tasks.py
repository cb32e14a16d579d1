"""Celery tasks: load the clock, call one service."""

import random

from celery import shared_task
from django.utils import timezone

from marketplace.gateways.clearing_hint import hint_heard
from marketplace.locks import OUTBOUND_RUN, sole_run
from marketplace.services.clearing import dirty_clear
from marketplace.services.copies import copies_sweep
from marketplace.services.credit import stop_exhausted
from marketplace.services.expiry import lifetimes_sweep, stop_expired
from marketplace.services.moves import moves_sweep
from marketplace.services.notice_mails import notice_mails_send
from marketplace.services.suspensions import suspensions_enforce
from marketplace.services.unpaid import delete_unpaid
from marketplace.services.webhook_deliveries import webhooks_deliver


@shared_task
def stop_exhausted_clients() -> int:
    """Every second: clients whose credit reached zero."""
    return stop_exhausted(now=timezone.now())


@shared_task
def delete_unpaid_disks() -> int:
    """Every few seconds: disks of clients that stay in debt."""
    return delete_unpaid(now=timezone.now())


@shared_task
def stop_expired_instances() -> int:
    """Every few seconds: instances past the end of their lifetime."""
    return stop_expired(now=timezone.now())


@shared_task
def sweep_lifetimes() -> int:
    """Every few seconds: warnings of ends to come, and disks whose time is over."""
    return lifetimes_sweep(now=timezone.now())


@shared_task
def deliver_webhooks() -> int:
    """Every second: events that are due at clients' servers.

    Of all that sends, one task runs at a time: servers that keep us waiting must not occupy every worker.
    """
    with sole_run(OUTBOUND_RUN) as is_alone:
        return webhooks_deliver(now=timezone.now(), fraction=random.random) if is_alone else 0


@shared_task
def send_notice_mails() -> int:
    """Every second: notices whose mail is due; one at a time with the above."""
    with sole_run(OUTBOUND_RUN) as is_alone:
        return notice_mails_send(now=timezone.now(), fraction=random.random) if is_alone else 0


@shared_task
def enforce_suspensions() -> int:
    """Every two seconds: what suspended accounts still have running or on offer."""
    return suspensions_enforce(now=timezone.now())


@shared_task
def sweep_copies() -> int:
    """Every second: copies whose job or instances have changed."""
    return copies_sweep(now=timezone.now())


@shared_task
def sweep_moves() -> int:
    """Every second: moves to other machines that can go a step further."""
    return moves_sweep(now=timezone.now())


@shared_task
def clear_dirty_machines() -> int:
    """When hinted, and every second: machines whose claims changed."""
    hint_heard()
    return dirty_clear(now=timezone.now)
