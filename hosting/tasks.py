"""Celery tasks: load the clock, call one service."""

from celery import shared_task
from django.utils import timezone

from hosting.services.listing import listings_expire
from hosting.services.offline import machines_sweep_offline


@shared_task
def sweep_offline() -> int:
    """Every few seconds: machines whose agents fell silent."""
    return machines_sweep_offline(now=timezone.now())


@shared_task
def expire_listings() -> int:
    """Every minute: listings past their end date."""
    return listings_expire(now=timezone.now())
