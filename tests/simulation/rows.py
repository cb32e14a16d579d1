"""What is in the database, read plainly and all at once: nothing of how the services read it is used here."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection


@dataclass(frozen=True, slots=True)
class MachineRow:
    id: int
    host_id: int
    online: bool
    engine_error: str
    gpu_count: int
    disk_total_gb: int


@dataclass(frozen=True, slots=True)
class ListingRow:
    machine_id: int
    active: bool
    price: int
    min_bid: int
    min_gpus: int
    end_at: datetime


@dataclass(frozen=True, slots=True)
class IdleJobRow:
    machine_id: int
    price: int
    active: bool


@dataclass(frozen=True, slots=True)
class GpuRow:
    id: int
    machine_id: int
    uuid: str
    usable: bool


@dataclass(frozen=True, slots=True)
class TaskRow:
    id: int
    machine_id: int
    kind: str
    desired: str
    run_generation: int
    phase: str
    observed_run_generation: int
    observed_since: datetime
    reason: str
    removed: bool
    idle_gpu_id: int | None


@dataclass(frozen=True, slots=True)
class InstanceRow:
    id: int
    client_id: int
    machine_id: int
    task_id: int
    state: str
    num_gpus: int
    price: int
    bid: int | None
    bid_placed_at: datetime | None
    waiting_since: datetime | None
    created_at: datetime
    end_at: datetime
    wants_running: bool
    ssh_port: int | None
    disk_gb: int


@dataclass(frozen=True, slots=True)
class EventRow:
    id: int
    instance_id: int
    at: datetime
    from_state: str
    to_state: str
    reason: str


@dataclass(frozen=True, slots=True)
class OfferRow:
    machine_id: int
    num_gpus: int
    rentable: bool
    least_bid: int | None
    disk_gb: int


@dataclass(frozen=True, slots=True)
class MeterRow:
    id: int
    instance_id: int
    kind: str
    rate: int
    runs: bool
    settled_at: datetime
    closed: bool
    counted_bytes: int


@dataclass(frozen=True, slots=True)
class SegmentRow:
    id: int
    meter_id: int
    rate: int
    started_at: datetime
    ended_at: datetime | None


Row = TypeVar("Row")

_MACHINES = "SELECT id, host_id, online, engine_error, gpu_count, disk_total_gb FROM hosting_machine ORDER BY id"
_LISTINGS = """SELECT machine_id, active, gpu_micros_per_hour, min_bid_micros_per_gpu_hour, min_gpus, end_at
FROM hosting_listing"""
_JOBS = "SELECT machine_id, price_micros_per_gpu_hour, active FROM hosting_idlejob"
_GPUS = "SELECT id, machine_id, uuid, present AND unhealthy_reason = '' FROM hosting_gpu ORDER BY machine_id, index"
_TASKS = """SELECT t.id, t.machine_id, t.kind, t.desired_state, t.run_generation, t.observed_phase,
t.observed_run_generation, t.observed_since, t.reason, t.removed_at IS NOT NULL, i.gpu_id
FROM hosting_task t LEFT JOIN hosting_idletask i ON i.task_id = t.id ORDER BY t.id"""
_INSTANCES = """SELECT id, client_id, machine_id, task_id, state, num_gpus, gpu_micros_per_hour, bid_micros_per_hour,
bid_placed_at, waiting_since, created_at, end_at, wants_running, ssh_port, disk_gb
FROM marketplace_instance ORDER BY id"""
_EVENTS = """SELECT id, instance_id, at, from_state, to_state, reason FROM marketplace_instanceevent
WHERE id > %s AND kind IN ('state', 'rented') ORDER BY id"""
_OFFERS = """SELECT machine_id, num_gpus, rentable, min_bid_micros_per_hour, disk_space_gb FROM marketplace_offer
WHERE retired_at IS NULL"""
_METERS = """SELECT id, split_part(reference, ':', 2)::bigint, kind, rate_micros, running_since IS NOT NULL, settled_at,
closed_at IS NOT NULL, counted_bytes FROM billing_meter ORDER BY id"""
_SEGMENTS = """SELECT id, meter_id, rate_micros, started_at, ended_at FROM billing_metersegment
WHERE ended_at IS NULL OR id > %s OR id = ANY(%s) ORDER BY id"""
_CLAIMS = "SELECT gpu_id, task_id FROM hosting_gpuclaim WHERE released_at IS NULL"
_MARKS = "SELECT DISTINCT machine_id FROM marketplace_dirtymark"
_ENDS = "SELECT owner_id, zero_at FROM billing_ledgeraccount WHERE kind = 'client_credit'"
_LIMITS = "SELECT owner_id, debt_limit_at FROM billing_ledgeraccount WHERE kind = 'client_credit'"
_PORTS = "SELECT task_id, host_port FROM hosting_portlease WHERE released_at IS NULL"


@dataclass
class Rows:
    """One moment of the database. ``events`` and ``segments`` are those since the moment before (and open ones)."""

    machines: dict[int, MachineRow]
    listings: dict[int, ListingRow]
    idle_jobs: dict[int, IdleJobRow]
    gpus: dict[int, GpuRow]
    tasks: dict[int, TaskRow]
    instances: dict[int, InstanceRow]
    events: list[EventRow]
    offers: list[OfferRow]
    meters: dict[int, MeterRow]
    segments: list[SegmentRow]
    claims: list[tuple[int, int]]
    marked: set[int]
    credit_ends: dict[int, datetime | None]
    debt_limits: dict[int, datetime | None]
    ports: dict[int, int]

    def disks_end_at(self, client_id: int) -> datetime | None:
        """When a client whose credit is used up loses its disks."""
        used_up_at, limit_at = self.credit_ends.get(client_id), self.debt_limits.get(client_id)
        if used_up_at is None:
            return None
        grace_ends = used_up_at + timedelta(days=settings.DEBT_GRACE_DAYS)
        return grace_ends if limit_at is None else min(grace_ends, limit_at)

    def able(self, machine_id: int) -> bool:
        """Whether the machine can be reached and works."""
        machine = self.machines[machine_id]
        return machine.online and not machine.engine_error


def read(last_event_id: int = 0, last_segment_id: int = 0, open_segment_ids: Collection[int] = ()) -> Rows:
    """Everything, in a handful of statements."""
    return Rows(
        machines={row.id: row for row in _read(MachineRow, _MACHINES)},
        listings={row.machine_id: row for row in _read(ListingRow, _LISTINGS)},
        idle_jobs={row.machine_id: row for row in _read(IdleJobRow, _JOBS)},
        gpus={row.id: row for row in _read(GpuRow, _GPUS)},
        tasks={row.id: row for row in _read(TaskRow, _TASKS)},
        instances={row.id: row for row in _read(InstanceRow, _INSTANCES)},
        events=_read(EventRow, _EVENTS, last_event_id),
        offers=_read(OfferRow, _OFFERS),
        meters={row.id: row for row in _read(MeterRow, _METERS)},
        segments=_read(SegmentRow, _SEGMENTS, last_segment_id, list(open_segment_ids)),
        claims=_fetch(_CLAIMS),
        marked={machine_id for (machine_id,) in _fetch(_MARKS)},
        credit_ends=dict(_fetch(_ENDS)),
        debt_limits=dict(_fetch(_LIMITS)),
        ports=dict(_fetch(_PORTS)),
    )


def _read(kind: type[Row], query: str, *parameters: Any) -> list[Row]:
    return [kind(*row) for row in _fetch(query, *parameters)]


def _fetch(query: str, *parameters: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters or None)
        return list(cursor.fetchall())
