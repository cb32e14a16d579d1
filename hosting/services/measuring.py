"""Measurements of machines: asked for, begun on a machine that nobody uses, ended for whoever comes.

Every function but those that ask expects the machine's row to be locked by the caller.
"""

from collections.abc import Callable, Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from agent.protocol import ContainerSpec
from hosting import hooks
from hosting.access import lock_own_machine
from hosting.domain import jobs
from hosting.domain import measuring as rules
from hosting.domain.benchmarks import benchmark_spec, order_for
from hosting.domain.challenge_plans import can_be_challenged
from hosting.domain.torch_builds import NO_BUILD
from hosting.errors import HostingError
from hosting.locks import lock_machine
from hosting.models import Gpu, Job, Machine, Measurement, Task
from hosting.selectors import dlperf_image, hardware_of, specified_hardware, speed_url, usable_gpus
from hosting.services.challenge_questions import challenge_begin
from hosting.services.events import machine_event
from hosting.services.jobs import job_transition
from hosting.services.tasks import task_create, task_remove, task_run, task_set_spec

_Kind, _Reason = Measurement.Kind, Measurement.Reason


@transaction.atomic
def benchmark_ask(*, machine_id: int, host: AbstractBaseUser, now: datetime) -> Measurement:
    """Measure the host's machine as soon as nobody uses it. Asking again while that is open returns the same.

    Raises HostingError: no_such_machine (404), no_benchmark (409) where this marketplace has no program for it.
    """
    return _ask(lock_own_machine(machine_id, host), _Kind.BENCHMARK, _Reason.HOST, now, actor=host)


@transaction.atomic
def benchmark_order(
    *, machine_id: int, reason: str, now: datetime, staff: AbstractBaseUser | None = None
) -> Measurement:
    """The same for staff, or by the rule that says when one is due. Raises HostingError(no_benchmark, 409)."""
    return _ask(lock_machine(machine_id), _Kind.BENCHMARK, reason, now, actor=staff)


@transaction.atomic
def challenge_order(
    *, machine_id: int, reason: str, now: datetime, actor: AbstractBaseUser | None = None
) -> Measurement:
    """Challenge the machine as soon as nobody uses it: by the rule that says when one is due, for staff, or its host.

    Raises HostingError(no_benchmark, 409) where this marketplace has no program for it.
    """
    return _ask(lock_machine(machine_id), _Kind.CHALLENGE, reason, now, actor=actor)


def _ask(machine: Machine, kind: str, reason: str, now: datetime, *, actor: AbstractBaseUser | None) -> Measurement:
    if not settings.DLPERF_IMAGE:
        message = "This marketplace has no benchmark program: its operator has set no DLPERF_IMAGE."
        raise HostingError("no_benchmark", message, status=409)
    if kind == _Kind.CHALLENGE and not machine.simulated and not can_be_challenged(specified_hardware(machine)):
        message = "Nothing can be asked of these GPUs: what they can do is not known, and the agent does not tell it."
        raise HostingError("no_benchmark", message, status=409)
    if not dlperf_image(machine):
        raise HostingError("no_benchmark", f"None of our programs runs on this machine. {NO_BUILD}", status=409)
    opened = Measurement.objects.filter(machine=machine, kind=kind, state__in=rules.OPEN)
    measurement = opened.select_related("task").first()
    if measurement is None:
        measurement = Measurement.objects.create(
            machine=machine,
            kind=kind,
            reason=reason,
            asked_by_id=actor.pk if actor else None,
            asked_at=now,
            not_before=now,
            **_subject(machine),
        )
        machine_event(machine, f"{kind}_asked", now=now, actor=actor, message=measurement.get_reason_display())
    elif actor is not None:
        _end_pause(measurement, now)
    elif measurement.reason == _Reason.HOST and "places" not in measurement.parameters:
        Measurement.objects.filter(pk=measurement.pk).update(reason=reason)  # the rule wants it now, so it counts
    hooks.market().machine_changed(machine, now)
    measurement.refresh_from_db()
    return measurement


def _end_pause(measurement: Measurement, now: datetime) -> None:
    """Whoever asks again wants it now."""
    Measurement.objects.filter(pk=measurement.pk, state=rules.WAITING, not_before__gt=now).update(not_before=now)


def _subject(machine: Machine) -> dict[str, Any]:
    return {
        "gpu_name": machine.gpu_name,
        "gpu_count": machine.gpu_count,
        "simulated": machine.simulated,
        "hardware": hardware_of(machine),
    }


def measurement_transition(
    *, measurement: Measurement, to: str, now: datetime, problem: str = "", message: str = "", **values: Any
) -> None:
    """Move the measurement to another state, with ``values`` for its other columns, and note it as an event.

    ``problem`` is a stable code, ``message`` a sentence. Raises HostingError(bad_transition, 409) where the table has
    no such step, or where the measurement is not in the state that this object says.
    """
    known = rules.can_move(measurement.state, to)
    values |= {"state": to, "problem": problem, "message": message}
    if to not in rules.OPEN:
        values["finished_at"] = now
    if not known or not Measurement.objects.filter(pk=measurement.pk, state=measurement.state).update(**values):
        raise HostingError(
            "bad_transition", f"{measurement} is {measurement.state}, not on its way to {to}.", status=409
        )
    for name, value in values.items():
        setattr(measurement, name, value)
    details: dict[str, Any] = {"measurement": measurement.pk} | ({"problem": problem} if problem else {})
    machine_event(measurement.machine, f"{measurement.kind}_{to}", now=now, message=message, **details)


def measurement_apply(
    *,
    machine: Machine,
    gpu_ids: Collection[int],
    unclaimed_gpu_ids: Collection[int],
    free_gpu_ids: Collection[int],
    now: datetime,
) -> bool:
    """Begin the next of the machine's open measurements, or end the one that runs for a guest.

    ``hosting.domain.measuring.plan`` says which; for the arguments see there. Returns whether idle jobs must keep off
    the machine. It compares and acts, so calling it again changes nothing. A machine that can't be reached is left as
    it is.
    """
    if not machine.online or machine.engine_error or machine.removed_at is not None:
        return False
    measurement = _next(machine)
    if measurement is None:
        return False
    measurement.machine = machine
    plan = rules.plan(
        measurement.state,
        may_start=measurement.not_before <= now,
        gpu_ids=gpu_ids,
        unclaimed_gpu_ids=unclaimed_gpu_ids,
        free_gpu_ids=free_gpu_ids,
    )
    if plan.action is rules.Action.START:
        _start(measurement, list(usable_gpus(machine)), now)
    elif plan.action is rules.Action.YIELD:
        _give_way(measurement, now)
    return plan.keeps_idle_jobs_off


def _next(machine: Machine) -> Measurement | None:
    """The one that runs, else the one that may begin first."""
    opened = Measurement.objects.filter(machine=machine, state__in=rules.OPEN).select_related("task")
    running = opened.filter(state=rules.RUNNING).first()
    return running or opened.order_by("not_before", "pk").first()


def _benchmark(measurement: Measurement, gpus: int, label: str, _now: datetime) -> tuple[dict[str, Any], ContainerSpec]:
    machine = measurement.machine
    endpoint = settings.DLPERF_ENDPOINT if machine.simulated else speed_url(machine.pk)
    order = order_for(simulated=machine.simulated, gpus=gpus, endpoint=endpoint)
    spec = benchmark_spec(
        order, image=dlperf_image(machine), label=label, cpu_cores=machine.cpu_cores, ram_mb=machine.ram_mb
    )
    return asdict(order), spec


ORDERS: dict[str, Callable[[Measurement, int, str, datetime], tuple[dict[str, Any], ContainerSpec]]] = {
    Measurement.Kind.BENCHMARK: _benchmark,
    Measurement.Kind.CHALLENGE: challenge_begin,
}
"""By kind: what a machine's GPUs, so many, are given to do under this label. The parameters are kept for the judge."""


def _start(measurement: Measurement, gpus: list[Gpu], now: datetime) -> None:
    machine = measurement.machine
    label = f"B.{measurement.pk}"
    parameters, spec = ORDERS[measurement.kind](measurement, len(gpus), label, now)
    task = task_create(machine=machine, kind=Task.Kind(measurement.kind), label=label, authorized_keys=[], now=now)
    task_set_spec(task=task, spec=spec)
    task_run(task=task, gpus=gpus, now=now)
    measurement_transition(
        measurement=measurement,
        to=rules.RUNNING,
        now=now,
        task=task,
        ordered_at=now,
        running_since=None,
        parameters=parameters,
        **_subject(machine),
    )


def _give_way(measurement: Measurement, now: datetime) -> None:
    """A guest comes: the container is killed at once, as nothing in it is worth keeping."""
    task_end(measurement, now)
    measurement_transition(
        measurement=measurement,
        to=rules.WAITING,
        now=now,
        problem="guest",
        message="Interrupted by a rental. It begins anew when nobody uses the machine.",
        interruptions=measurement.interruptions + 1,
        not_before=now,
    )


def measurement_try_again(*, measurement: Measurement, problem: str, message: str, now: datetime) -> None:
    """The machine failed this try: have another after a pause, or give up after as many as are worth it."""
    task_end(measurement, now)
    failures = measurement.failures + 1
    pause = rules.pause_after(failures)
    if pause is None:
        to, values = rules.FAILED, {}
    else:
        to, values = rules.WAITING, {"not_before": now + pause}
    measurement_transition(
        measurement=measurement, to=to, now=now, problem=problem, message=message, failures=failures, **values
    )


def measurement_fail(*, measurement: Measurement, problem: str, message: str, now: datetime) -> None:
    """It came to nothing, and another try would too."""
    task_end(measurement, now)
    measurement_transition(measurement=measurement, to=rules.FAILED, now=now, problem=problem, message=message)


def task_end(measurement: Measurement, now: datetime) -> None:
    """Have the container of the measurement removed; its GPUs are free once the agent says so."""
    task = measurement.task
    if task is None:
        raise AssertionError(f"{measurement} runs without a task")
    task.machine = measurement.machine
    for job in Job.objects.filter(task=task, kind=jobs.ASK, state__in=jobs.OPEN):
        job_transition(job=job, to=jobs.CANCELED, now=now)
    task_remove(task=task, now=now)
