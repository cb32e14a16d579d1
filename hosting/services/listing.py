"""A host puts a machine on the market, changes its terms, takes it off."""

from dataclasses import asdict
from datetime import datetime

import structlog
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from billing.domain.money import exact_dollars
from hosting import hooks
from hosting.access import lock_own_machine
from hosting.domain.listing import ListingTerms, min_bid_problem, problems
from hosting.domain.verification import CASES_UNDECIDED
from hosting.errors import HostingError
from hosting.locks import lock_machine
from hosting.models import IdleJob, Listing, Machine, VerificationCase
from hosting.services.events import machine_event

logger = structlog.get_logger(__name__)


@transaction.atomic
def listing_set(*, machine_id: int, host: AbstractBaseUser, terms: ListingTerms, now: datetime) -> Listing:
    """List the machine at these terms, or change the terms of new rentals; running contracts keep theirs.

    Raises HostingError: no_such_machine (404), verification_failed (409) while a case about it is not decided,
    invalid_terms with the field at fault.
    """
    machine = lock_own_machine(machine_id, host)
    _refuse_undecided(machine)
    found = problems(terms, gpu_count=machine.gpu_count, sandboxes=machine.sandboxes, now=now)
    found |= _idle_job_problem(machine, terms)
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


def _refuse_undecided(machine: Machine) -> None:
    if VerificationCase.objects.filter(machine=machine, state__in=CASES_UNDECIDED).exists():
        message = "The machine failed its verification. It can be listed again when that is decided."
        raise HostingError("verification_failed", message, status=409)


def _idle_job_problem(machine: Machine, terms: ListingTerms) -> dict[str, str]:
    """No floor under bids is above the on-demand price: it would be a market on which nobody can bid."""
    job = IdleJob.objects.filter(machine=machine, active=True).first()
    if job is None or job.price_micros_per_gpu_hour <= terms.gpu_micros_per_hour:
        return {}
    message = "The machine's idle job has a higher price. Lower that, or remove the idle job, first."
    return {"gpu_micros_per_hour": message}


@transaction.atomic
def min_bid_set(*, machine_id: int, host: AbstractBaseUser, micros_per_gpu_hour: int, now: datetime) -> Listing:
    """Set the least bid that the listed machine takes, in micro-dollars per GPU and hour; 0 is none.

    Raises HostingError: no_such_machine (404), not_listed (409), invalid_terms with the field at fault.
    """
    machine = lock_own_machine(machine_id, host)
    listing = Listing.objects.filter(machine=machine, active=True).first()
    if listing is None:
        raise HostingError("not_listed", f"Machine {machine_id} is not listed. List it first.", status=409)
    problem = min_bid_problem(micros_per_gpu_hour, on_demand_micros_per_hour=listing.gpu_micros_per_hour)
    if problem:
        raise HostingError("invalid_terms", problem, field="min_bid_micros_per_gpu_hour")
    if listing.min_bid_micros_per_gpu_hour != micros_per_gpu_hour:
        listing.min_bid_micros_per_gpu_hour = micros_per_gpu_hour
        listing.save(update_fields=["min_bid_micros_per_gpu_hour"])
        machine.listing = listing
        said = f"${exact_dollars(micros_per_gpu_hour)} per GPU-hour"
        machine_event(machine, "minimum_bid", now=now, actor=host, message=said, micros=micros_per_gpu_hour)
        hooks.market().machine_changed(machine, now)
    return listing


@transaction.atomic
def listing_end(
    *, machine_id: int, host: AbstractBaseUser, now: datetime, actor: AbstractBaseUser | None = None
) -> None:
    """Take the machine's offers off the market. Contracts run on to their end. Unlisting twice is fine.

    ``actor`` is who does it where that is not the host: a member of the staff.
    """
    machine = lock_own_machine(machine_id, host)
    if Listing.objects.filter(machine=machine, active=True).update(active=False):
        machine_event(machine, "unlisted", now=now, actor=actor or host)
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
