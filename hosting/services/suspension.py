"""Staff keep a machine from the market, and let it back."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting import hooks
from hosting.errors import HostingError
from hosting.locks import lock_machine
from hosting.models import Machine
from hosting.services.events import machine_event


@transaction.atomic
def machine_suspend(
    *,
    machine_id: int,
    actor: AbstractBaseUser | None,
    reason: str,
    now: datetime,
    evicts: bool = False,
    with_account: bool = False,
) -> Machine:
    """Take the machine's offers away at once and let nothing new begin on it; its host is told why.

    What runs goes on, unless ``evicts``: then it is stopped, charged no longer, its disk kept. ``with_account``: the
    host's account was suspended, and the machine comes back with it. A suspended machine can be suspended again, to
    evict or for another reason. Raises HostingError(missing_reason).
    """
    reason = reason.strip()[:300]
    if not reason:
        raise HostingError("missing_reason", "Say why: the host is told.", field="reason")
    machine = lock_machine(machine_id)
    if with_account and machine.suspended_at is not None:
        return machine  # for a reason of its own, which stays when the account comes back
    machine.suspended_at = machine.suspended_at or now
    machine.suspended_reason, machine.suspended_with_account = reason, with_account
    machine.save(update_fields=["suspended_at", "suspended_reason", "suspended_with_account"])
    machine_event(machine, "suspended", now=now, actor=actor, message=reason, evicts=evicts, with_account=with_account)
    _audit("machine.suspended", machine, actor, reason, now)
    hooks.market().machine_suspended(machine, evicts, now)
    return machine


@transaction.atomic
def machine_restore(*, machine_id: int, actor: AbstractBaseUser | None, now: datetime) -> Machine:
    """Let the machine back on the market, with the listing that it had. Raises HostingError(not_suspended, 409)."""
    machine = lock_machine(machine_id)
    if machine.suspended_at is None:
        raise HostingError("not_suspended", f"Machine {machine_id} is not suspended.", status=409)
    machine.suspended_at, machine.suspended_reason, machine.suspended_with_account = None, "", False
    machine.save(update_fields=["suspended_at", "suspended_reason", "suspended_with_account"])
    machine_event(machine, "restored", now=now, actor=actor)
    _audit("machine.restored", machine, actor, "", now)
    hooks.market().machine_restored(machine, now)
    return machine


def _audit(action: str, machine: Machine, actor: AbstractBaseUser | None, message: str, now: datetime) -> None:
    about = ("machine", machine.pk)
    hooks.market().audited(action=action, actor=actor, owner_id=machine.host_id, about=about, message=message, now=now)
