"""A host takes a machine away from the marketplace for good."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting import hooks
from hosting.access import lock_own_machine
from hosting.domain.removal import Held, Kept, held_problem, removal_problem
from hosting.domain.verification import CASE_UPHELD, CASES_UNDECIDED
from hosting.domain.volumes import LIVE
from hosting.errors import HostingError
from hosting.models import IdleJob, Listing, Machine, Task, VerificationCase, Volume
from hosting.services.events import machine_event
from hosting.services.tasks import desired_changed, task_remove


def kept_on(machine: Machine) -> Kept:
    """What clients have on the machine: a read, for the page that asks before it removes."""
    rented = Task.objects.filter(machine=machine, kind=Task.Kind.INSTANCE, removed_at=None)
    return Kept(
        instances=rented.exclude(desired_state=Task.Desired.REMOVED).count(),
        volumes=Volume.objects.filter(machine=machine, state__in=LIVE).count(),
        ends=tuple(hooks.market().contract_ends(machine)),
    )


def held_by(machine: Machine) -> Held:
    """What of the machine's past is not settled: a read, likewise."""
    states = set(VerificationCase.objects.filter(machine=machine).values_list("state", flat=True))
    return Held(
        suspended=machine.suspended_at is not None,
        case_undecided=bool(states.intersection(CASES_UNDECIDED)),
        found_out=CASE_UPHELD in states and machine.verification == "deverified",
    )


@transaction.atomic
def machine_remove(*, machine_id: int, host: AbstractBaseUser, now: datetime) -> None:
    """Take the machine off the market and off the host's pages; its history and its earnings stay.

    The agent is still heard until it has removed what the marketplace had on the machine, the idle job's containers
    among it; then it is told that the machine was removed, and ends. The hardware may be registered again, and what
    speaks against it comes along (``machine_past``).
    Raises HostingError: no_such_machine (404), machine_held (409) while it is suspended or was found out,
    machine_in_use (409) with what is in the way.
    """
    machine = lock_own_machine(machine_id, host)
    held = held_problem(held_by(machine))
    if held:
        raise HostingError("machine_held", held, status=409)
    problem = removal_problem(kept_on(machine), now)
    if problem:
        raise HostingError("machine_in_use", problem, status=409)
    Listing.objects.filter(machine=machine).update(active=False)
    IdleJob.objects.filter(machine=machine).update(active=False)
    for task in Task.objects.filter(machine=machine, removed_at=None).order_by("pk"):
        task.machine = machine
        task_remove(task=task, now=now)
    machine.gpus.update(present=False)
    # What is unique among machines becomes free for the same hardware's next registration.
    machine.boot_id = f"removed-{machine.pk}"
    machine.removed_at, machine.online, machine.relay_key = now, False, None
    machine.save(update_fields=["boot_id", "removed_at", "online", "relay_key"])
    machine_event(machine, "removed", now=now, actor=host)
    about = ("machine", machine.pk)
    hooks.market().audited(
        action="machine.removed", actor=host, owner_id=host.pk, about=about, message=str(machine), now=now
    )
    hooks.market().machine_changed(machine, now)
    desired_changed(machine)
