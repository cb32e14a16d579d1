"""One gate per object type: outsiders get the same answer as for something that does not exist."""

from django.contrib.auth.base_user import AbstractBaseUser

from hosting.errors import HostingError
from hosting.locks import lock_machine
from hosting.models import Machine


def machine_for(user: AbstractBaseUser, machine_id: int) -> Machine:
    """The user's own registered machine. Raises HostingError(no_such_machine, 404) otherwise."""
    machine = (
        Machine.objects.select_related("listing", "idle_job")
        .filter(pk=machine_id, host_id=user.pk, removed_at=None)
        .first()
    )
    if machine is None:
        raise _no_such_machine(machine_id)
    return machine


def lock_own_machine(machine_id: int, host: AbstractBaseUser) -> Machine:
    """The host's own registered machine, locked until the transaction ends.

    Raises HostingError(no_such_machine, 404) otherwise.
    """
    try:
        machine = lock_machine(machine_id)
    except Machine.DoesNotExist:
        machine = None
    if machine is None or machine.host_id != host.pk or machine.removed_at is not None:
        raise _no_such_machine(machine_id)
    return machine


def _no_such_machine(machine_id: int) -> HostingError:
    return HostingError("no_such_machine", f"You have no machine {machine_id}.", status=404)
