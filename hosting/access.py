"""One gate per object type: outsiders get the same answer as for something that does not exist."""

from django.contrib.auth.base_user import AbstractBaseUser

from hosting.errors import HostingError
from hosting.models import Machine


def machine_for(user: AbstractBaseUser, machine_id: int) -> Machine:
    """The user's own registered machine. Raises HostingError(no_such_machine, 404) otherwise."""
    machine = Machine.objects.select_related("listing").filter(pk=machine_id, host_id=user.pk, removed_at=None).first()
    if machine is None:
        raise HostingError("no_such_machine", f"You have no machine {machine_id}.", status=404)
    return machine
