"""Celery tasks: load the clock, call one service."""

from celery import shared_task
from django.utils import timezone

from marketplace.services.credit import stop_exhausted


@shared_task
def stop_exhausted_clients() -> int:
    """Every second: clients whose credit reached zero."""
    return stop_exhausted(now=timezone.now())
