"""A host asks for what expired contracts left on a machine to be removed."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting.access import lock_own_machine, machine_for
from hosting.services.tasks import desired_changed
from marketplace.machine_room import Leftovers, leftovers_of
from marketplace.services.expiry import lifetimes_sweep, stop_expired


@dataclass(frozen=True)
class Cleaned:
    """How many stops, warnings and deletions were due, and what is on the machine afterwards."""

    ended: int
    left: Leftovers


def machine_cleanup(*, machine_id: int, host: AbstractBaseUser, now: datetime) -> Cleaned:
    """Do at once, for one machine, what the sweepers do about contracts that are over, and have its agent look again.

    It deletes nothing before its time: a disk outlives its contract for as long as its client was promised. Each
    contract is a transaction of its own, as in the sweeps. Raises HostingError(no_such_machine, 404).
    """
    machine_for(host, machine_id)
    ended = stop_expired(now=now, machine_id=machine_id) + lifetimes_sweep(now=now, machine_id=machine_id)
    with transaction.atomic():
        desired_changed(lock_own_machine(machine_id, host))
    return Cleaned(ended, leftovers_of(machine_id, now))


def cleanup_sentence(cleaned: Cleaned) -> str:
    """What the host is told."""
    left = cleaned.left
    parts = [
        f"{_counted(cleaned.ended, 'expired contract')} dealt with." if cleaned.ended else "",
        f"The agent has yet to delete {_counted(left.going, 'container or volume', 'containers and volumes')}."
        if left.going
        else "",
        f"{_counted(left.kept, 'disk')} of {left.kept_gb} GB in all, whose contracts are over, "
        f"{'is' if left.kept == 1 else 'are'} kept for their clients until {left.until:%Y-%m-%d %H:%M} UTC at the "
        "latest."
        if left.until
        else "",
    ]
    if not cleaned.ended and not left.going and not left.kept:
        return "Nothing is left of expired contracts."
    return " ".join(part for part in parts if part)


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
