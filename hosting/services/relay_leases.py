"""Ports of the relay are given to instances, and taken back; machines' keys for it are learnt.

The machine's row is locked by the caller, except in ``relay_leases_complete``, which locks one machine after the other.
"""

from datetime import datetime

import structlog
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, OuterRef

from hosting.domain.relay import normal_key, pair_count, pick_pair
from hosting.locks import lock_machine
from hosting.models import Machine, PortLease, Relay, RelayLease, Task
from hosting.services.events import machine_event
from hosting.services.tasks import desired_changed

logger = structlog.get_logger(__name__)

SSH_PORT = 22
WEB_PORT = 8080
"""The other port of each pair: where notebooks and other pages are served."""
_MOST_AT_ONCE = 200
_MOST_TRIES = 20


def relay_lease(*, task: Task, now: datetime) -> list[RelayLease]:
    """Give a task with SSH a pair of the relay's ports for its life: the even one for web pages, the next for SSH.

    Nothing without a relay, for a task without SSH, and for one that has a pair. When all ports are taken the task goes
    without; ``relay_leases_complete`` gives it a pair as soon as one is free.
    """
    if not settings.RELAY_HOST or not _has_ssh(task) or task.relay_leases.filter(released_at=None).exists():
        return []
    for _ in range(_MOST_TRIES):
        even = pick_pair(settings.RELAY_PORTS, _next_turn(), _taken())
        if even is None:
            break
        leases = _insert(task, even, now)
        if leases:
            desired_changed(task.machine)
            return leases
    logger.warning("relay_ports_exhausted", task_id=task.pk, pairs=pair_count(settings.RELAY_PORTS))
    return []


def _has_ssh(task: Task) -> bool:
    return task.port_leases.filter(container_port=SSH_PORT, protocol="tcp", released_at=None).exists()


def _taken() -> set[int]:
    return set(RelayLease.objects.filter(released_at=None).values_list("relay_port", flat=True))


def _next_turn() -> int:
    """Counts up, for all machines together and without a lock that would make rentals wait for each other."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('hosting_relay_turn')")
        return int(cursor.fetchone()[0])


def _insert(task: Task, even: int, now: datetime) -> list[RelayLease]:
    """The pair's rows; none when somebody else took a port of it at the same moment."""
    wanted = ((even, WEB_PORT, RelayLease.Kind.HTTPS), (even + 1, SSH_PORT, RelayLease.Kind.TCP))
    leases = [
        RelayLease(task=task, relay_port=port, container_port=inside, kind=kind, created_at=now)
        for port, inside, kind in wanted
    ]
    try:
        with transaction.atomic():
            return RelayLease.objects.bulk_create(leases)
    except IntegrityError:
        return []


def relay_release(*, task: Task, now: datetime) -> None:
    """Take the task's ports back, because nothing is left of it."""
    if RelayLease.objects.filter(task=task, released_at=None).update(released_at=now):
        desired_changed(task.machine)


def relay_leases_complete(*, now: datetime) -> int:
    """Give ports to those instances that have none: rented before there was a relay, or while none was free."""
    if not settings.RELAY_HOST:
        return 0
    live = Task.objects.filter(kind=Task.Kind.INSTANCE, removed_at=None).exclude(desired_state=Task.Desired.REMOVED)
    leased = RelayLease.objects.filter(task=OuterRef("pk"), released_at=None)
    ssh = PortLease.objects.filter(task=OuterRef("pk"), container_port=SSH_PORT, protocol="tcp", released_at=None)
    without = live.filter(Exists(ssh), ~Exists(leased)).order_by("pk").values_list("pk", "machine_id")
    return sum(_lease_late(task_id, machine_id, now) for task_id, machine_id in list(without[:_MOST_AT_ONCE]))


@transaction.atomic
def _lease_late(task_id: int, machine_id: int, now: datetime) -> bool:
    machine = lock_machine(machine_id)
    task = Task.objects.filter(pk=task_id, removed_at=None).exclude(desired_state=Task.Desired.REMOVED).first()
    if task is None:
        return False
    task.machine = machine
    return bool(relay_lease(task=task, now=now))


def relay_key_learn(*, machine: Machine, told: str | None, now: datetime) -> None:
    """Keep the key that the agent of the locked machine logs in with; one that is no key, or another's, is refused."""
    key = normal_key(told) if told else None
    if key is None or key == machine.relay_key:
        return
    try:
        with transaction.atomic():
            Machine.objects.filter(pk=machine.pk).update(relay_key=key)
    except IntegrityError:
        logger.warning("relay_key_of_another_machine", machine_id=machine.pk)
        return
    machine.relay_key = key
    machine_event(machine, "relay_key", now=now, message="The agent has a new key for the relay.")
    desired_changed(machine)


@transaction.atomic
def relay_seen(*, host_key: str, has_tls: bool, started_at: datetime, figures: dict[str, int], now: datetime) -> None:
    """What the relay says of itself. ``figures`` are columns of ``Relay``. Agents hear of a new key at once."""
    values = {"host_key": host_key, "has_tls": has_tls, "started_at": started_at, "seen_at": now, **figures}
    if Relay.objects.filter(pk=Relay.ONLY, host_key=host_key).update(**values):
        return
    Relay.objects.update_or_create(pk=Relay.ONLY, defaults=values)
    for machine in Machine.objects.filter(relay_key__isnull=False, removed_at=None).order_by("pk"):
        desired_changed(machine)
