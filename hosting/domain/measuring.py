"""Measurements of machines: their states, when one is due, and when it may run.

A measurement has the whole machine to itself: it runs only while no guest has or waits for any of its GPUs, leaves at
once when one comes, and begins anew once all GPUs are free again. The host's idle job makes way for it.
"""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

WAITING = "waiting"
RUNNING = "running"
SUCCEEDED = "succeeded"
FAILED = "failed"

TRANSITIONS: dict[str, frozenset[str]] = {
    WAITING: frozenset({RUNNING}),
    RUNNING: frozenset({WAITING, SUCCEEDED, FAILED}),
    SUCCEEDED: frozenset(),
    FAILED: frozenset(),
}
"""waiting: asked for, until the machine is free. running: its container is wanted, and has the GPUs. It goes back to
waiting when a guest comes or the machine fails it. The rest is final."""
STATES = tuple(TRANSITIONS)
OPEN = (WAITING, RUNNING)

RUN_LIMIT = timedelta(minutes=10)
"""From the container's start to its result, by the server's clock: twice what the program gives itself."""
START_LIMIT = timedelta(hours=2)
"""From the order to the container's start: its image may have to be fetched first, over a slow line."""
PAUSES = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2))
"""Before each new try after one that the machine failed. A guest's coming is no failure and needs no pause."""

RETRY_AFTER = timedelta(days=1)
"""Before a machine whose measurement failed is measured again by itself, unless it has changed meanwhile."""
MEASURED_EVERY = timedelta(days=7)
LISTED_AFTER = timedelta(days=1)
"""A machine that is put on the market is measured anew unless it was within so long before."""


def can_move(old: str, new: str) -> bool:
    """Whether the table allows it."""
    return new in TRANSITIONS[old]


def pause_after(failures: int) -> timedelta | None:
    """How long to wait after so many tries (1 or more) that the machine failed; None when it was tried often enough."""
    return PAUSES[failures - 1] if failures <= len(PAUSES) else None


def overdue(*, ordered_at: datetime, running_since: datetime | None, now: datetime) -> str:
    """Which limit a run has passed: "start_timeout", "run_timeout", or "" for none."""
    if running_since is not None:
        return "run_timeout" if now - running_since > RUN_LIMIT else ""
    return "start_timeout" if now - ordered_at > START_LIMIT else ""


def hardware_digest(*facts: object) -> str:
    """Names a machine's hardware and driver: different facts, different digest."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class Past:
    """What is known of a machine's measurements when it is asked whether another is due.

    ``measured_at`` and ``hardware`` are those of the latest that succeeded, ``failed_at`` and ``failed_hardware`` of
    the latest that failed.
    """

    measured_at: datetime | None = None
    hardware: str = ""
    failed_at: datetime | None = None
    failed_hardware: str = ""


def due_reason(past: Past, *, hardware: str, listed_at: datetime | None, now: datetime) -> str:
    """Why the machine should be measured now: "first", "hardware", "listing", "weekly"; "" when it need not be.

    ``listed_at`` is when it was put on the market, None when it is not on it.
    """
    failed_lately = past.failed_at is not None and now - past.failed_at < RETRY_AFTER
    if failed_lately and past.failed_hardware == hardware:
        return ""
    if past.measured_at is None:
        return "first"
    if past.hardware != hardware:
        return "hardware"
    if listed_at is not None and listed_at - past.measured_at > LISTED_AFTER:
        return "listing"
    return "weekly" if now - past.measured_at >= MEASURED_EVERY else ""


class Action(Enum):
    """What becomes of an open measurement."""

    START = "start"
    YIELD = "yield"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``action`` is None when nothing changes. ``keeps_idle_jobs_off``: no idle job may begin or stay."""

    action: Action | None
    keeps_idle_jobs_off: bool


def plan(
    state: str,
    *,
    may_start: bool,
    gpu_ids: Collection[int],
    unclaimed_gpu_ids: Collection[int],
    free_gpu_ids: Collection[int],
) -> Plan:
    """What to do about a measurement of a machine with the usable GPUs ``gpu_ids``.

    ``unclaimed_gpu_ids`` are those that no guest has or is to have, ``free_gpu_ids`` those that nothing holds at all.
    ``may_start``: its pause is over.
    """
    has_machine = bool(gpu_ids) and set(unclaimed_gpu_ids) >= set(gpu_ids)
    if state == RUNNING:
        return Plan(action=None if has_machine else Action.YIELD, keeps_idle_jobs_off=has_machine)
    if not has_machine or not may_start:
        return Plan(action=None, keeps_idle_jobs_off=False)
    starts = set(free_gpu_ids) >= set(gpu_ids)
    return Plan(action=Action.START if starts else None, keeps_idle_jobs_off=True)
