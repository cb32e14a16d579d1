"""A host puts a machine on the market, changes its terms, takes it off."""

from dataclasses import asdict
from datetime import datetime

import structlog
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting import hooks
from hosting.domain.listing import ListingTerms, problems
from hosting.errors import HostingError
from hosting.locks import lock_machine
from hosting.models import Listing, Machine
from hosting.services.events import machine_event

logger = structlog.get_logger(__name__)


def _own_machine(machine_id: int, host: AbstractBaseUser) -> Machine:
    try:
        machine = lock_machine(machine_id)
    except Machine.DoesNotExist:
        machine = None
    if machine is None or machine.host_id != host.pk or machine.removed_at is not None:
        raise HostingError("no_such_machine", f"You have no machine {machine_id}.", status=404)
    return machine


@transaction.atomic
def listing_set(*, machine_id: int, host: AbstractBaseUser, terms: ListingTerms, now: datetime) -> Listing:
    """List the machine at these terms, or change the terms of new rentals; running contracts keep theirs.

    Raises HostingError: no_such_machine (404), invalid_terms with the field at fault.
    """
    machine = _own_machine(machine_id, host)
    found = problems(terms, gpu_count=machine.gpu_count, now=now)
    if found:
        field, message = next(iter(found.items()))
        raise HostingError("invalid_terms", message, field=field)
    existing = Listing.objects.filter(machine=machine).first()
    listed_at = existing.listed_at if existing and existing.active else now
    listing, _ = Listing.objects.update_or_create(
        machine=machine, defaults=asdict(terms) | {"active": True, "listed_at": listed_at}
    )
    machine.listing = listing
    details = asdict(terms) | {"end_at": terms.end_at.isoformat()}
    machine_event(machine, "listed", now=now, actor=host, **details)
    hooks.market().machine_changed(machine, now)
    return listing


@transaction.atomic
def listing_end(*, machine_id: int, host: AbstractBaseUser, now: datetime) -> None:
    """Take the machine's offers off the market. Contracts run on to their end. Unlisting twice is fine."""
    machine = _own_machine(machine_id, host)
    if Listing.objects.filter(machine=machine, active=True).update(active=False):
        machine_event(machine, "unlisted", now=now, actor=host)
        hooks.market().machine_changed(lock_machine(machine_id), now)


def listings_expire(*, now: datetime) -> int:
    """Take listings off the market whose end date has passed; returns how many.

    Each in a transaction of its own: one that fails is logged and holds up no other.
    """
    due = Listing.objects.filter(active=True, end_at__lte=now).order_by("machine_id")
    return sum(_expire_alone(listing, now) for listing in due.select_related("machine__host"))


def _expire_alone(listing: Listing, now: datetime) -> bool:
    try:
        listing_end(machine_id=listing.machine_id, host=listing.machine.host, now=now)
    except Exception:
        logger.exception("listing_expiry_failed", machine_id=listing.machine_id)
        return False
    return True
