"""Staff decide what a machine's claims are worth."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from hosting import hooks
from hosting.errors import HostingError
from hosting.locks import lock_machine
from hosting.services.events import machine_event

VERIFICATIONS = ("unverified", "verified", "deverified")


@transaction.atomic
def machine_set_verification(
    *, machine_id: int, verification: str, actor: AbstractBaseUser | None, reason: str, now: datetime
) -> None:
    """Set the machine's verification and its offers'. Raises HostingError(bad_verification)."""
    if verification not in VERIFICATIONS:
        raise HostingError("bad_verification", f"{verification!r} is none of {', '.join(VERIFICATIONS)}.")
    machine = lock_machine(machine_id)
    if machine.verification == verification:
        return
    machine.verification = verification
    machine.save(update_fields=["verification"])
    machine_event(machine, verification, now=now, actor=actor, message=reason)
    hooks.market().machine_changed(machine, now)
