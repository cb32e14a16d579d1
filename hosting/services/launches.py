"""Notes how the launches of clients' containers went."""

from datetime import datetime

from hosting.domain.launches import OUTCOMES, launch_outcome, words_of
from hosting.models import Task
from hosting.services.events import machine_event


def launch_observe(*, task: Task, now: datetime) -> None:
    """Record how a run began, if the phase that the task has now tells it for the first time.

    Called before the phase is written to the task's history. Hosts' own jobs and our tests are no launches.
    """
    if task.kind != Task.Kind.INSTANCE or (task.observed_phase not in OUTCOMES and task.reason != "container_lost"):
        return  # most news is of phases on the way; it costs no query
    told = task.events.filter(run_generation=task.observed_run_generation, phase__in=OUTCOMES)
    outcome = launch_outcome(task.observed_phase, task.reason, is_known=told.exists())
    if outcome is None or (outcome.reason == "container_lost" and told.filter(reason="container_lost").exists()):
        return
    run = task.observed_run_generation
    if outcome.reason is None:
        machine_event(task.machine, "launched", now=now, task=task.pk, run=run)
    else:
        words = words_of(outcome.reason)
        machine_event(
            task.machine, "launch_failed", now=now, message=words, reason=outcome.reason, task=task.pk, run=run
        )
