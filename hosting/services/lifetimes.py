"""A host grants longer lifetimes to what is rented already."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting import hooks
from hosting.access import lock_own_machine
from hosting.domain.listing import ListingTerms, end_problem
from hosting.errors import HostingError
from hosting.models import Listing, Machine
from hosting.services.events import machine_event
from hosting.services.listing import listing_set


@transaction.atomic
def lifetimes_extend(*, machine_id: int, host: AbstractBaseUser, end_at: datetime, now: datetime) -> int:
    """Let every contract of the machine that ends earlier run until ``end_at`` at its price; returns how many.

    Nothing is ever shortened. What is offered on the market is offered until then too. Raises HostingError:
    no_such_machine (404), invalid_terms for an end that is past or more than three years away.
    """
    machine = lock_own_machine(machine_id, host)
    problem = end_problem(end_at, now)
    if problem:
        raise HostingError("invalid_terms", problem, field="end_at")
    extended = hooks.market().contracts_extend(machine, end_at, host, now)
    was_raised = _raise_listing(machine, end_at)
    if extended or was_raised:
        said = f"until {end_at:%Y-%m-%d %H:%M} UTC; contracts that ended earlier: {extended}"
        machine_event(
            machine, "extended", now=now, actor=host, message=said, end_at=end_at.isoformat(), contracts=extended
        )
    if was_raised:
        hooks.market().machine_changed(machine, now)
    return extended


def _raise_listing(machine: Machine, end_at: datetime) -> bool:
    return bool(Listing.objects.filter(machine=machine, active=True, end_at__lt=end_at).update(end_at=end_at))


@transaction.atomic
def listing_set_and_extend(*, machine_id: int, host: AbstractBaseUser, terms: ListingTerms, now: datetime) -> int:
    """List the machine at these terms and grant their end to contracts that end earlier; returns how many.

    Raises HostingError as ``listing_set`` does.
    """
    listing_set(machine_id=machine_id, host=host, terms=terms, now=now)
    return lifetimes_extend(machine_id=machine_id, host=host, end_at=terms.end_at, now=now)
