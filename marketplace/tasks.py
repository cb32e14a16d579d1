"""Celery tasks: load the clock, call one service."""

from celery import shared_task
from django.utils import timezone

from marketplace.services.credit import stop_exhausted
from marketplace.services.expiry import stop_expired


@shared_task
def stop_exhausted_clients() -> int:
    """Every second: clients whose credit reached zero."""
    return stop_exhausted(now=timezone.now())


@shared_task
def stop_expired_instances() -> int:
    """Every few seconds: instances past the end of their lifetime."""
    return stop_expired(now=timezone.now())
