"""What machines of the demo went through before it began, as events: their reliability has something behind it."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hosting.models import Machine, MachineEvent

BEGAN = timedelta(days=60)
ENDED = timedelta(days=1)
LAUNCHES = 30
CHECKS = 12
REASONS = ("gpu_unavailable", "engine_down", "port_taken", "disk_full", "image_missing")


@dataclass(frozen=True)
class Past:
    """The sixty days before the demo. ``number`` makes it another for each machine, and the same every time.

    ``steadiness`` is about the part of things that went well, 0..1.
    """

    number: int
    steadiness: float


def past_record(machine: Machine, past: Past, now: datetime) -> None:
    """Write down that the machine has been listed since ``BEGAN`` before ``now``, and what happened to it meanwhile.

    For machines that have registered just now: nothing is known of them yet that would contradict it.
    """
    began = now - BEGAN
    if machine.registered_at <= began:
        return
    dice = random.Random(past.number)  # noqa: S311  # a story, nothing secret
    told = [
        (began, "online", {}),
        (began, "listed", {}),
        *_outages(dice, 1 - past.steadiness, began),
        *_launches(dice, 1 - past.steadiness, began),
        *_checks(dice, 1 - past.steadiness, began),
    ]
    told.sort(key=lambda event: event[0])
    events = [
        MachineEvent(machine=machine, at=at, kind=kind, message="simulated", details=details | {"simulated": True})
        for at, kind, details in told
    ]
    Machine.objects.filter(pk=machine.pk).update(registered_at=began)
    MachineEvent.objects.bulk_create(events)


Told = list[tuple[datetime, str, dict[str, Any]]]


def _moment(dice: random.Random, began: datetime) -> datetime:
    return began + dice.uniform(0.01, 1) * (BEGAN - ENDED)


def _outages(dice: random.Random, failing: float, began: datetime) -> Told:
    """One after the other, each in its own part of the time."""
    count = int(failing * 150)
    told: Told = []
    for number in range(count):
        share = (BEGAN - ENDED) / count
        start = began + share * (number + dice.uniform(0.1, 0.3))
        end = start + share * failing * dice.uniform(0.5, 1.5)
        told += [(start, "offline", {"since": start.isoformat()}), (end, "online", {})]
    return told


def _launches(dice: random.Random, failing: float, began: datetime) -> Told:
    told: Told = []
    for _ in range(LAUNCHES):
        fails = dice.random() < failing
        details = {"reason": dice.choice(REASONS)} if fails else {}
        told.append((_moment(dice, began), "launch_failed" if fails else "launched", details))
    return told


def _checks(dice: random.Random, failing: float, began: datetime) -> Told:
    return [
        (_moment(dice, began), "performance_check", {"passed": dice.random() >= failing / 2}) for _ in range(CHECKS)
    ]
