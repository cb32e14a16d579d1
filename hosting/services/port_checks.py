"""Finds out from outside whether machines' ports can be reached.

A check is asked for in the machine's row, which the agent is told: it opens a few free ports and says a word on each.
The sweeper that comes next connects, outside of any transaction, and writes down how many it reached.
"""

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from hosting import hooks
from hosting.domain import port_checks as rules
from hosting.gateways.port_probe import answering
from hosting.locks import lock_machine
from hosting.models import Machine, PortLease
from hosting.services.events import machine_event
from hosting.services.tasks import desired_changed

MOST_AT_ONCE = 32
"""Checks that are under way, of all machines."""
_THREADS = 8


def port_checks_sweep(*, now: datetime) -> int:
    """Look at the ports that agents were asked to open, then ask for what is due; how many checks ended."""
    open_checks = list(Machine.objects.filter(ports_asked_at__isnull=False).order_by("ports_asked_at")[:MOST_AT_ONCE])
    ended = _look_at(open_checks, now)
    for machine_id in _due(now, MOST_AT_ONCE - len(open_checks)):
        ports_ask(machine_id=machine_id, now=now)
    return ended


def _look_at(machines: list[Machine], now: datetime) -> int:
    if not machines:
        return 0
    with ThreadPoolExecutor(_THREADS) as pool:
        reached = list(pool.map(_reached, machines))
    return sum(_settle(machine, found, now) for machine, found in zip(machines, reached, strict=True))


def _reached(machine: Machine) -> int:
    words = {int(port): word for port, word in machine.ports_asked.items()}
    return len(
        answering(
            machine.public_address,
            words,
            dialled_from=machine.dialled_from,
            allow_private=settings.PORT_CHECKS_ALLOW_PRIVATE,
        )
    )


def _settle(machine: Machine, reached: int, now: datetime) -> bool:
    """Write the outcome down; not yet, where the agent may not have opened all ports."""
    asked_at = machine.ports_asked_at
    if asked_at is None or (reached < len(machine.ports_asked) and now - asked_at < rules.TRY_FOR):
        return False
    with transaction.atomic():
        fresh = lock_machine(machine.pk)
        if (fresh.ports_asked, fresh.public_address) != (machine.ports_asked, machine.public_address):
            return False
        _store(fresh, reached, now)
    return True


def _store(machine: Machine, reached: int, now: datetime) -> None:
    before, first = machine.direct_port_count, machine.ports_checked_at is None
    machine.ports_checked_at, machine.ports_sampled, machine.ports_reached = now, len(machine.ports_asked), reached
    machine.ports_asked_at, machine.ports_asked = None, {}
    machine.save(update_fields=["ports_checked_at", "ports_sampled", "ports_reached", "ports_asked_at", "ports_asked"])
    desired_changed(machine)
    if first or before != machine.direct_port_count:
        message = (
            f"{reached} of {machine.ports_sampled} ports could be reached from outside at {machine.public_address}"
        )
        machine_event(machine, "ports", now=now, message=message)
        hooks.market().machine_changed(machine, now)


def _due(now: datetime, most: int) -> list[int]:
    """Machines never looked at, not since their agents started, or long ago; those that waited longest first."""
    idle = Machine.objects.filter(online=True, removed_at=None, ports_asked_at=None).exclude(public_address="")
    due = idle.filter(
        Q(ports_checked_at=None)
        | Q(ports_checked_at__lt=F("session_started_at"))
        | Q(ports_checked_at__lte=now - rules.EVERY)
        | Q(ports_checked_at__lte=now - rules.AGAIN_AFTER, ports_reached__lt=F("ports_sampled"))
    )
    oldest = due.order_by(F("ports_checked_at").asc(nulls_first=True), "pk")
    return list(oldest.values_list("pk", flat=True)[: max(0, most)])


@transaction.atomic
def ports_ask(*, machine_id: int, now: datetime) -> bool:
    """Ask the machine's agent to open some free ports; False while it is being looked at already, or has none free."""
    machine = lock_machine(machine_id)
    if machine.ports_asked_at is not None or machine.removed_at is not None:
        return False
    leased = set(PortLease.objects.filter(machine=machine, released_at=None).values_list("host_port", flat=True))
    free = [port for port in range(machine.port_first, machine.port_last + 1) if port not in leased]
    chosen = secrets.SystemRandom().sample(free, min(rules.SAMPLE, len(free)))
    if not chosen:
        return False
    machine.ports_asked = {str(port): secrets.token_hex(12) for port in chosen}
    machine.ports_asked_at = now
    machine.save(update_fields=["ports_asked", "ports_asked_at"])
    desired_changed(machine)
    return True


def ports_forget(machine: Machine) -> None:
    """What was seen is not true of another address or range: the locked machine's ports are looked at anew."""
    machine.ports_checked_at = machine.ports_asked_at = None
    machine.ports_sampled = machine.ports_reached = 0
    machine.ports_asked = {}
    machine.save(update_fields=["ports_checked_at", "ports_sampled", "ports_reached", "ports_asked_at", "ports_asked"])
