"""Reads about how machines and their tasks are reached: through the relay, and directly."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from django.conf import settings

from agent.protocol import PortCheck, RelayForward, RelayOrder
from hosting.domain.relay import user_name
from hosting.models import Machine, PortLease, Relay, RelayLease, Task

Lease = TypeVar("Lease", PortLease, RelayLease)


def relay_order(machine_id: int) -> RelayOrder | None:
    """What the agent of this machine forwards through the relay; None while there is none or it has no key there."""
    if not settings.RELAY_HOST:
        return None
    relay = Relay.objects.filter(pk=Relay.ONLY).only("host_key").first()
    if relay is None or not Machine.objects.filter(pk=machine_id, relay_key__isnull=False).exists():
        return None
    return RelayOrder(
        host=settings.RELAY_HOST,
        port=settings.RELAY_PORT,
        host_key=relay.host_key,
        user=user_name(machine_id),
        forwards=_forwards(machine_id),
    )


def _forwards(machine_id: int) -> list[RelayForward]:
    leases = RelayLease.objects.filter(task__machine_id=machine_id, task__removed_at=None, released_at=None)
    published = PortLease.objects.filter(machine_id=machine_id, released_at=None, protocol="tcp")
    host_ports = {(port.task_id, port.container_port): port.host_port for port in published}
    wanted = ((lease.relay_port, host_ports.get((lease.task_id, lease.container_port))) for lease in leases)
    return [RelayForward(relay_port=ours, host_port=theirs) for ours, theirs in sorted(wanted) if theirs is not None]


def port_checks_of(machine_id: int) -> list[PortCheck]:
    """The ports that the agent should answer on now, because we look whether they can be reached."""
    asked = Machine.objects.filter(pk=machine_id, ports_asked_at__isnull=False).values_list("ports_asked", flat=True)
    words = asked.first() or {}
    return [PortCheck(port=int(port), word=word) for port, word in sorted(words.items())]


@dataclass(frozen=True)
class RelayAddress:
    """A public address of a task. ``kind`` is tcp, or https where the relay ends TLS if it has a certificate."""

    host: str
    port: int
    container_port: int
    kind: str


def is_only_direct(machine: Machine) -> bool:
    """Whether there is no other way to the machine than its own address."""
    return not settings.RELAY_HOST or machine.relay_key is None


def relay_addresses(machine: Machine, task: Task) -> list[RelayAddress]:
    """Where the relay shows the ports of a task of the machine, by container port; nothing without a relay.

    ``task`` comes with its relay leases and port leases, prefetched where there are many tasks. What is not published
    on the host has no address here, though a port is kept for it.
    """
    if is_only_direct(machine):
        return []
    published = {port.container_port for port in _live(task.port_leases.all()) if port.protocol == "tcp"}
    leases = [lease for lease in _live(task.relay_leases.all()) if lease.container_port in published]
    found = [RelayAddress(settings.RELAY_HOST, one.relay_port, one.container_port, one.kind) for one in leases]
    return sorted(found, key=lambda one: one.container_port)


def _live(leases: Iterable[Lease]) -> list[Lease]:
    return [lease for lease in leases if lease.released_at is None]


def relay_address(machine: Machine, task: Task, container_port: int) -> RelayAddress | None:
    """Where the relay shows this port of the task; None where it does not."""
    return next((one for one in relay_addresses(machine, task) if one.container_port == container_port), None)


@dataclass(frozen=True)
class Permit:
    """What the relay lets a machine do: log in with this key, and listen on these ports, each of its kind."""

    key: str
    ports: dict[int, str]


def permits(machine_ids: Iterable[int]) -> dict[int, Permit]:
    """By id, of those machines that are registered and have a key."""
    keys = Machine.objects.filter(pk__in=list(machine_ids), removed_at=None, relay_key__isnull=False)
    found = {pk: Permit(key or "", {}) for pk, key in keys.values_list("pk", "relay_key")}
    leases = RelayLease.objects.filter(task__machine_id__in=list(found), task__removed_at=None, released_at=None)
    for machine_id, port, kind in leases.values_list("task__machine_id", "relay_port", "kind"):
        found[machine_id].ports[port] = kind
    return found


def relay_now() -> Relay | None:
    """What the relay last said of itself; None when none ever ran."""
    return Relay.objects.filter(pk=Relay.ONLY).first()
