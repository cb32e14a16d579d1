"""Every row lock of this app. The one order: machine, then instance, then ledger account; several of a kind by pk.

Whatever changes an instance holds the lock of its machine, so the instance's own row needs no lock of its own: the
machine's lock serialises everything that happens on one machine. The one exception is a bid, which anybody may change
at any time; the auction reads it under the machine's lock. Whatever may start or stop somebody on a machine locks the
accounts of all who run there at once, before it changes any meter. Webhooks are locked alone, or before what they
send. A template is locked alone.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from django.db import connection

from billing.services import accounts_lock
from hosting.locks import lock_machine
from hosting.models import Machine
from marketplace.domain import instance_states as states
from marketplace.errors import MarketError
from marketplace.models import Instance, Template, User, Webhook

OUTBOUND_RUN = 0x5350_4F54_0001
"""The number of the advisory lock of whoever sends mails or webhooks at this moment."""


def lock_market(machine_id: int, *, payer_ids: Iterable[int] = ()) -> Machine:
    """The machine, locked together with the ledger accounts of everybody whose meters may change with it.

    Those are the clients who run on it, because each of them may have to leave, and ``payer_ids``.
    """
    machine = lock_machine(machine_id)
    lock_runners([machine_id], payer_ids=payer_ids)
    return machine


def lock_instance(instance_id: int) -> Instance:
    """The instance, with machine and accounts locked as by ``lock_market``. Raises MarketError(no_such_instance)."""
    found = Instance.objects.filter(pk=instance_id).values_list("machine_id", "client_id").first()
    if found is None:
        raise MarketError("no_such_instance", f"There is no instance {instance_id}.", status=404)
    machine = lock_market(found[0], payer_ids=[found[1]])
    instance = Instance.objects.select_related("task", "client").get(pk=instance_id)
    share_machine(instance, machine)
    return instance


def lock_runners(machine_ids: Collection[int], *, payer_ids: Iterable[int] = ()) -> None:
    """Lock, in order, the ledger accounts of the clients who run on these locked machines, and ``payer_ids``."""
    runners = Instance.objects.filter(machine_id__in=machine_ids, state__in=states.ON_GPUS)
    owners = set(runners.order_by().values_list("client_id", flat=True)) | set(payer_ids)
    if owners:
        accounts_lock(payer_ids=owners)


def share_machine(instance: Instance, machine: Machine) -> None:
    """Let the instance and its task point at the one locked machine object, not at stale copies of their own."""
    instance.machine = machine
    instance.task.machine = machine


def lock_webhook(user_id: int, *, also_removed: bool = False) -> Webhook:
    """The account's webhook, locked until the transaction ends. Raises MarketError(no_such_webhook, 404).

    Those who write notices refer to it all the same: they never wait for this lock.
    """
    webhook = Webhook.objects.select_for_update(no_key=True).filter(user_id=user_id).first()
    if webhook is None or not (webhook.url or also_removed):
        raise MarketError("no_such_webhook", "You have no webhook.", status=404)
    return webhook


def lock_account(user_id: int) -> User:
    """The account's own row, locked until the transaction ends, after machines and before its ledger account.

    Rows that refer to it are written all the same. Raises MarketError(no_such_account, 404).
    """
    found = User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    if found is None:
        raise MarketError("no_such_account", f"There is no account {user_id}.", status=404)
    return found


def lock_template(template_id: int) -> Template:
    """The template, locked until the transaction ends. Raises MarketError(no_such_template, 404) once it is deleted.

    Who rents with it notes it all the same, without waiting.
    """
    found = (
        Template.objects.select_for_update(no_key=True, of=("self",)).filter(pk=template_id, deleted_at=None).first()
    )
    if found is None:
        raise MarketError("no_such_template", f"There is no template {template_id}.", status=404)
    return found


@contextmanager
def sole_run(number: int) -> Iterator[bool]:
    """Whether nobody else is in the part of the code that ``number`` stands for; never waits.

    The lock belongs to the connection, so it is free again the moment a worker is killed.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
        is_alone: bool = cursor.fetchone()[0]
    try:
        yield is_alone
    finally:
        if is_alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [number])
