"""Every row lock of this app. The one order: machine, then instance, then ledger account; several of a kind by pk."""

from hosting.models import Machine


def lock_machine(machine_id: int) -> Machine:
    """The machine, locked until the transaction ends. Raises ``Machine.DoesNotExist``."""
    return Machine.objects.select_for_update(of=("self",)).get(pk=machine_id)
