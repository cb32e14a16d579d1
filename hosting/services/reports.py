"""Takes in what agents report."""

import hashlib
import re
from datetime import datetime, timedelta

import msgspec
import redis
import structlog
from django.db import transaction

from agent.protocol import ERASED, MOST_RESULT_BYTES, ObservedTask, SyncRequest
from hosting import hooks
from hosting.domain.texts import clean
from hosting.domain.traffic import most_bytes
from hosting.errors import HostingError
from hosting.gateways import presence
from hosting.locks import lock_machine
from hosting.models import Machine, PortLease, Task, TaskEvent
from hosting.services.agent_versions import agent_version_learn
from hosting.services.challenge_talks import challenge_talk
from hosting.services.events import machine_event
from hosting.services.guest_reports import guest_told
from hosting.services.idle_jobs import idle_task_observed
from hosting.services.inventory import inventory_receive
from hosting.services.jobs import jobs_observe
from hosting.services.launches import launch_observe
from hosting.services.measurement_reports import measurement_task_observed
from hosting.services.relay_leases import relay_key_learn, relay_release
from hosting.services.tasks import claims_release_if_idle
from hosting.services.volumes import volumes_news, volumes_observe
from hosting.volumes import volume_owner_ids

logger = structlog.get_logger(__name__)

PROGRESS_STEPS = 20
COUNTERS_EVERY_SECONDS = 60
MESSAGE_CHARS = 2000
SESSIONS_KEPT = 16
MAX_TASKS = 2000
MOST_ABILITIES = 20
LARGEST_INT = 2**31 - 1
LARGEST_BIGINT = 2**63 - 1
LONGEST_AGE_SECONDS = 10 * 365 * 24 * 3600

_TRAFFIC = ("net_rx_bytes", "net_tx_bytes", "net_counted_at")
_SESSION_ID = re.compile(r"[ -~]{1,64}")


def report_receive(*, machine_id: int, request: SyncRequest, remote_address: str, now: datetime) -> None:
    """Record a report's facts where they differ from the last ones, and then that the machine is alive.

    A report that tells nothing new touches Redis only. Without Redis every report goes to the database. A report that
    fails is no sign of life: a machine whose state can't be written down must not count as reachable and be charged.
    Raises HostingError: bad_session, too_many_tasks.
    """
    _check_sense(request)
    fingerprint = report_fingerprint(request, now)
    known, previous_contact = _look_up(machine_id, request, fingerprint)
    stored = known
    if not known:
        taken, stored = report_apply(
            machine_id=machine_id,
            request=request,
            remote_address=remote_address,
            previous_contact=previous_contact,
            now=now,
        )
        if not taken:
            return
    _remember(machine_id, request, fingerprint if stored else "", now)


def _check_sense(request: SyncRequest) -> None:
    if not _SESSION_ID.fullmatch(request.session_id) or not 0 <= request.seq <= LARGEST_BIGINT:
        raise HostingError(
            "bad_session", "session_id must be 1-64 printable characters and seq a number of 63 bits, 0 or more."
        )
    if len(request.tasks) > MAX_TASKS:
        raise HostingError("too_many_tasks", f"A report has at most {MAX_TASKS} tasks, not {len(request.tasks)}.")


def _look_up(machine_id: int, request: SyncRequest, fingerprint: str) -> tuple[bool, datetime | None]:
    """Whether the report tells nothing new, and when the agent was last heard."""
    try:
        previous_contact = presence.last_seen(machine_id)
        known = request.inventory is None and presence.report_known(
            machine_id, request.session_id, request.seq, fingerprint
        )
    except redis.RedisError as error:
        logger.warning("heartbeat_store_unavailable", machine_id=machine_id, error=str(error))
        return False, None
    return known, previous_contact


def _remember(machine_id: int, request: SyncRequest, fingerprint: str, now: datetime) -> None:
    try:
        presence.beat(machine_id, now)
        presence.report_handled(machine_id, request.session_id, request.seq, fingerprint)
    except redis.RedisError as error:
        logger.warning("heartbeat_store_unavailable", machine_id=machine_id, error=str(error))


def report_fingerprint(request: SyncRequest, now: datetime) -> str:
    """Hash of the facts that belong in the database: no ages, progress in coarse steps, counters once a minute."""
    counted = any((t.net_rx_bytes, t.net_tx_bytes, t.disk_used_mb) != (None, None, None) for t in request.tasks)
    counted |= any(v.used_mb is not None for v in request.volumes or ())
    facts = [
        request.agent_version,
        request.update_failure,
        request.engine_error,
        request.abilities,
        request.relay_key,
        int(now.timestamp()) // COUNTERS_EVERY_SECONDS if counted else None,
        [
            [t.task_id, t.phase, t.run_generation, t.exit_code, t.reason, t.message, t.result, _coarse(t.progress)]
            for t in sorted(request.tasks, key=lambda t: t.task_id)
        ],
        [
            [t.host_keys, t.onstart_exit_code, t.onstart_output, t.jupyter, t.disk_full]
            for t in sorted(request.tasks, key=lambda t: t.task_id)
        ],
        [
            [j.job_id, j.state, j.reason, j.message, j.result, _coarse(j.progress)]
            for j in sorted(request.jobs or (), key=lambda j: j.job_id)
        ],
        [[v.volume_id, v.state, v.message] for v in sorted(request.volumes or (), key=lambda v: v.volume_id)],
    ]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def _coarse(progress: float | None) -> int | None:
    return None if progress is None else int(min(max(progress, 0.0), 1.0) * PROGRESS_STEPS)


@transaction.atomic
def report_apply(
    *,
    machine_id: int,
    request: SyncRequest,
    remote_address: str,
    previous_contact: datetime | None,
    now: datetime,
) -> tuple[bool, bool]:
    """Write a report's facts, free what became free and tell the market, all in one transaction.

    Reports that are doubled or overtaken by a newer one are dropped. Returns whether the report was taken, and whether
    everything in it could be written.
    """
    machine = lock_machine(machine_id)
    if machine.removed_at is not None:
        return True, _observe_removed(machine, request, now)
    if not _supersedes(machine, request, now):
        return False, False
    was_online, had_engine_error = machine.online, machine.engine_error
    floor = _floor(machine, previous_contact, now)
    changed = request.inventory is not None and inventory_receive(
        machine=machine, inventory=request.inventory, remote_address=remote_address, now=now
    )
    agent_version_learn(machine=machine, request=request, now=now)
    _store_contact(machine, request, remote_address, now)
    relay_key_learn(machine=machine, told=request.relay_key, now=now)
    if had_engine_error != machine.engine_error:
        changed = True
        message = machine.engine_error or "the container engine works again"
        machine_event(machine, "engine", now=now, message=message, works=not machine.engine_error)
    jobs_observe(machine=machine, reports=request.jobs or (), now=now)
    news = volumes_news(machine, request.volumes)
    owners = {item.volume.owner_id for item in news} if was_online else volume_owner_ids(machine)
    tasks_changed, complete = _observe_all(machine, request.tasks, owners, floor, now)
    changed |= tasks_changed
    if tasks_changed or request.jobs:
        changed |= challenge_talk(machine=machine, now=now)
    changed |= volumes_observe(news=news, now=now)
    if not was_online:
        machine_event(machine, "online", now=now)
        hooks.market().machine_came_online(machine, now)
    if changed or not was_online:
        hooks.market().machine_changed(machine, now)
    return True, complete


def _observe_removed(machine: Machine, request: SyncRequest, now: datetime) -> bool:
    """Of a machine that was removed all that is still of interest is that containers and volumes go; whether every task
    could be written."""
    news = volumes_news(machine, request.volumes)
    _, complete = _observe_all(machine, request.tasks, {item.volume.owner_id for item in news}, now, now)
    volumes_observe(news=news, now=now)
    return complete


def _floor(machine: Machine, previous_contact: datetime | None, now: datetime) -> datetime:
    """The earliest moment that this report may date anything to.

    A machine that was offline could be reached by nobody, so whatever began meanwhile counts from now.
    """
    if not machine.online:
        return now
    return previous_contact or machine.last_seen_at or now


def _supersedes(machine: Machine, request: SyncRequest, now: datetime) -> bool:
    """Whether the report is newer than all taken so far. A session that gave way to another stays away while that one
    speaks.

    A late message of a process that is dead by now can look like the newest session. It says no more, so the machine
    goes offline, and whoever speaks then is the one that lives.
    """
    if machine.session_id == request.session_id:
        return request.seq > machine.session_seq
    if not machine.online:
        return True
    if request.session_id in machine.superseded_sessions:
        return False
    started = _instant(request.session_started_age_seconds, now)
    return machine.session_started_at is None or started >= machine.session_started_at


def _store_contact(machine: Machine, request: SyncRequest, remote_address: str, now: datetime) -> None:
    if machine.session_id != request.session_id:
        if machine.session_id:
            machine.superseded_sessions = [*machine.superseded_sessions, machine.session_id][-SESSIONS_KEPT:]
        machine.session_id = request.session_id
        machine.session_started_at = _instant(request.session_started_age_seconds, now)
    machine.session_seq = request.seq
    machine.online = True
    machine.last_seen_at = now
    machine.dialled_from = clean(remote_address, 45)
    machine.abilities = [clean(ability, 40) for ability in request.abilities[:MOST_ABILITIES]]
    machine.engine_error = clean(request.engine_error or machine.inventory_problem, MESSAGE_CHARS)
    machine.save(
        update_fields=[
            "session_id",
            "superseded_sessions",
            "session_started_at",
            "session_seq",
            "online",
            "last_seen_at",
            "dialled_from",
            "abilities",
            "engine_error",
        ]
    )


def _observe_all(
    machine: Machine, observed: list[ObservedTask], volume_owner_ids: set[int], floor: datetime, now: datetime
) -> tuple[bool, bool]:
    """Whether anything changed, and whether every task could be written."""
    by_id = {o.task_id: o for o in observed if 0 < o.task_id <= LARGEST_BIGINT}
    rows = list(Task.objects.filter(machine=machine, removed_at=None, pk__in=by_id).order_by("pk"))
    for task in rows:
        task.machine = machine
    hooks.market().tasks_reported([task.pk for task in rows], volume_owner_ids)
    changed = [_observe_alone(task, by_id[task.pk], floor, now) for task in rows]
    return any(changed), None not in changed


def _observe_alone(task: Task, observed: ObservedTask, floor: datetime, now: datetime) -> bool | None:
    """Like ``task_observe``, but None for a task that can't be written: it must not hold up the others."""
    try:
        with transaction.atomic():
            return task_observe(task=task, observed=observed, floor=floor, now=now)
    except Exception:
        logger.exception("task_report_failed", machine_id=task.machine_id, task_id=task.pk)
        return None


def task_observe(*, task: Task, observed: ObservedTask, floor: datetime, now: datetime) -> bool:
    """Record what the agent says of one task of the locked machine; returns whether anything but counters changed.

    The phase began at ``now`` minus the age that the agent states, but not before ``floor`` (the contact before this
    one, when it was not so yet): a host's clock can shift a bill by no more than the time between two contacts.
    Nothing is taken of a run that was never asked for: all that is true would count as older than that.
    """
    if observed.run_generation > task.run_generation:
        logger.warning(
            "task_report_of_no_run",
            machine_id=task.machine_id,
            task_id=task.pk,
            wanted=task.run_generation,
            reported=observed.run_generation,
        )
        return False
    if observed.run_generation < task.observed_run_generation:
        return False
    _count(task, observed)
    if _count_traffic(task, observed, now):
        hooks.market().task_traffic_counted(task, now)
    facts = {
        "observed_phase": observed.phase,
        "observed_run_generation": observed.run_generation,
        "exit_code": _bounded(observed.exit_code),
        "reason": observed.reason or "",
        "message": clean(observed.message, MESSAGE_CHARS),
        "result": task.result if observed.result is None else clean(observed.result, MOST_RESULT_BYTES),
    }
    told = guest_told(task, observed)
    if all(getattr(task, name) == value for name, value in facts.items()):
        task.save(update_fields=["disk_used_mb", *_TRAFFIC, "progress", *told])
        return False
    for name, value in facts.items():
        setattr(task, name, value)
    began = _instant(observed.age_seconds, now)
    task.observed_since = min(max(began, floor, task.observed_since), now)
    task.run_began_at = _began(task, observed, floor)
    if observed.phase == "removed" and task.desired_state == Task.Desired.REMOVED:
        task.removed_at = now
        task.erased = [kind for kind in ERASED if kind in observed.erased]
        PortLease.objects.filter(task=task, released_at=None).update(released_at=now)
        relay_release(task=task, now=now)
    task.save()
    launch_observe(task=task, now=now)
    _task_event(task)
    idle_task_observed(task=task, now=now)
    measurement_task_observed(task=task, now=now)
    claims_release_if_idle(task, now)
    hooks.market().task_observed(task, now)
    return True


def _began(task: Task, observed: ObservedTask, floor: datetime) -> datetime | None:
    """When a run that has ended began, as the agent tells it: not before ``floor``, when it did not run yet."""
    if observed.phase != "exited" or observed.ran_seconds is None:
        return None
    lasted = timedelta(seconds=min(max(observed.ran_seconds, 0.0), LONGEST_AGE_SECONDS))
    return min(max(task.observed_since - lasted, floor), task.observed_since)


def _count(task: Task, observed: ObservedTask) -> None:
    task.progress = None if observed.progress is None else min(max(observed.progress, 0.0), 1.0)
    if observed.disk_used_mb is not None:
        task.disk_used_mb = min(max(observed.disk_used_mb, 0), LARGEST_INT)


def _count_traffic(task: Task, observed: ObservedTask, now: datetime) -> bool:
    """Take in the bytes moved over the task's life; whether they grew.

    They are what a client pays for, on the host's word: totals never go down, and more than the machine's line can have
    carried since they last grew is not believed, or not before it can be.
    """
    received = max(observed.net_rx_bytes or 0, task.net_rx_bytes)
    sent = max(observed.net_tx_bytes or 0, task.net_tx_bytes)
    if (received, sent) == (task.net_rx_bytes, task.net_tx_bytes):
        return False
    since = task.net_counted_at or task.created_at
    can_be = received - task.net_rx_bytes <= most_bytes(task.machine.inet_down_mbps, since, now)
    if not can_be or sent - task.net_tx_bytes > most_bytes(task.machine.inet_up_mbps, since, now):
        logger.warning("task_traffic_beyond_belief", machine_id=task.machine_id, task_id=task.pk)
        return False
    task.net_rx_bytes, task.net_tx_bytes, task.net_counted_at = received, sent, now
    return True


def _bounded(number: int | None) -> int | None:
    return None if number is None else min(max(number, -LARGEST_INT), LARGEST_INT)


def _instant(age_seconds: float, now: datetime) -> datetime:
    """The moment of something this old; ages beyond all sense count as LONGEST_AGE_SECONDS."""
    return now - timedelta(seconds=min(max(age_seconds, 0), LONGEST_AGE_SECONDS))


def _task_event(task: Task) -> None:
    TaskEvent.objects.create(
        task=task,
        at=task.observed_since,
        phase=task.observed_phase,
        run_generation=task.observed_run_generation,
        reason=task.reason,
        message=task.message,
    )
