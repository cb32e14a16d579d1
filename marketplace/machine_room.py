"""Reads about what of a machine is free, and what of it expired contracts still hold."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from hosting.domain import volumes
from hosting.models import Task, Volume
from marketplace.domain import instance_states as states
from marketplace.domain.lifetimes import DISK_KEPT
from marketplace.domain.room import Room, room_of, room_sentence
from marketplace.models import Instance, Offer
from marketplace.services.clearing_sql import market_facts


@dataclass(frozen=True)
class MachineRoom:
    """One machine: what is free, and the sizes in which it is on offer now."""

    machine_id: int
    room: Room
    offered_sizes: tuple[int, ...]

    @property
    def sentence(self) -> str:
        """What its host is told."""
        return room_sentence(self.room, is_offered=bool(self.offered_sizes))


def machine_rooms(machine_ids: Collection[int]) -> list[MachineRoom]:
    """What is free on each of these machines, by their numbers. Nothing is locked: the answer is for showing."""
    sizes: dict[int, list[int]] = {}
    live = Offer.objects.filter(machine_id__in=machine_ids, retired_at=None, rentable=True)
    for machine_id, size in live.order_by("num_gpus").values_list("machine_id", "num_gpus"):
        sizes.setdefault(machine_id, []).append(size)
    return [
        MachineRoom(
            machine_id=facts.machine_id,
            room=room_of(facts.gpus, facts.claims, facts.policy, facts.ending),
            offered_sizes=tuple(sizes.get(facts.machine_id, ())),
        )
        for facts in sorted(market_facts(machine_ids), key=lambda facts: facts.machine_id)
    ]


@dataclass(frozen=True)
class Leftovers:
    """What contracts that are over still hold on a machine."""

    kept: int
    """Disks and volumes whose contract is over and that are kept for their clients still, as was promised."""
    kept_gb: int
    until: datetime | None
    """When the last of these is deleted."""
    going: int
    """Containers and volumes that the machine's agent has yet to delete."""


def leftovers_of(machine_id: int, now: datetime) -> Leftovers:
    """What is there at ``now``; what is due to be deleted counts as kept until a sweep or the host deletes it."""
    gone = (states.DESTROYING, states.DESTROYED)
    disks = Instance.objects.filter(machine_id=machine_id, end_at__lte=now).exclude(state__in=gone)
    over = Volume.objects.filter(machine_id=machine_id, end_at__lte=now, state__in=volumes.LIVE)
    kept = [*disks.values_list("end_at", "disk_gb"), *over.values_list("end_at", "size_gb")]
    tasks = Task.objects.filter(machine_id=machine_id, removed_at=None, desired_state=Task.Desired.REMOVED)
    deleting = Volume.objects.filter(machine_id=machine_id, state=volumes.DELETING)
    return Leftovers(
        kept=len(kept),
        kept_gb=sum(size_gb for _, size_gb in kept),
        until=max((end_at + DISK_KEPT for end_at, _ in kept), default=None),
        going=tasks.count() + deleting.count(),
    )
