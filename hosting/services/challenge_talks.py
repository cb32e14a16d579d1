"""Talks with the programs of running challenges: puts the next question as soon as the last one is answered."""

import secrets
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction

from dlperf.challenge.answers import MOST_COMMITMENT_BYTES, decode_ready
from dlperf.challenge.command import ask_command, commit_question, ready_question, reveal_question
from dlperf.challenge.plan import Place, Plan
from hosting import hooks
from hosting.domain import challenge_talk as talk
from hosting.domain import jobs
from hosting.domain.challenge_plans import places_to_show
from hosting.domain.challenge_talk import Asked, Turn
from hosting.domain.measuring import RUNNING, SUCCEEDED
from hosting.domain.texts import clean
from hosting.locks import lock_machine
from hosting.models import ChallengeQuestion, Job, Machine, Measurement, Task
from hosting.outputs import job_output
from hosting.services.challenge_questions import question_choose
from hosting.services.jobs import job_ask
from hosting.services.measuring import measurement_fail, measurement_transition, measurement_try_again, task_end

logger = structlog.get_logger(__name__)

_WORDS_BYTES = 500
_AWAY = "The machine or its agent was away in the middle of it."


def challenges_talk_on(*, now: datetime) -> int:
    """Put what is to be asked of the programs of all running challenges: what an agent's report does at once, again.

    Returns how many talks went on, each in a transaction of its own.
    """
    running = Measurement.objects.filter(kind=Measurement.Kind.CHALLENGE, state=RUNNING)
    return sum(_alone(pk, now) for pk in running.order_by("machine_id").values_list("machine_id", flat=True))


def _alone(machine_id: int, now: datetime) -> bool:
    try:
        with transaction.atomic():
            machine = lock_machine(machine_id)
            went_on = challenge_talk(machine=machine, now=now)
            if went_on:
                hooks.market().machine_changed(machine, now)
            return went_on
    except Exception:  # one machine's must not hold up all others'
        logger.exception("challenge_talk_failed", machine_id=machine_id)
        return False


def challenge_talk(*, machine: Machine, now: datetime) -> bool:
    """Go on with the talk of the locked machine's challenge, where one runs; whether anything was done.

    It looks at what was asked and answered, so calling it again changes nothing.
    """
    found = Measurement.objects.filter(machine=machine, kind=Measurement.Kind.CHALLENGE, state=RUNNING)
    measurement = found.select_related("task").first()
    if measurement is None or measurement.task is None or not _runs(measurement.task):
        return False
    measurement.machine = measurement.task.machine = machine
    asked = [_asked(job) for job in jobs_of(measurement.task)]
    following = talk.next_turn(asked)
    if following.turn is Turn.WAIT:
        return False
    if following.turn is Turn.FAIL and following.may_begin_anew and _was_away(machine, measurement):
        measurement_try_again(measurement=measurement, problem="offline", message=_AWAY, now=now)
    elif following.turn is Turn.FAIL:
        measurement_fail(measurement=measurement, problem=following.problem, message=following.message, now=now)
    elif following.turn is Turn.END:
        task_end(measurement, now)
        measurement_transition(measurement=measurement, to=SUCCEEDED, now=now, message="It answered.")
    else:
        _ask(measurement, measurement.task, following.turn.value, now)
    return True


def _was_away(machine: Machine, measurement: Measurement) -> bool:
    """Whether the machine can't be reached, or its agent began anew meanwhile, as it does with the computer."""
    began, ordered = machine.session_started_at, measurement.ordered_at
    return not machine.online or (began is not None and ordered is not None and began > ordered)


def jobs_of(task: Task | None) -> list[Job]:
    """The questions put to a challenge's program, in their order."""
    return list(Job.objects.filter(task=task, kind=jobs.ASK).order_by("pk"))


def _runs(task: Task) -> bool:
    return task.observed_phase == "running" and task.observed_run_generation == task.run_generation


def _asked(job: Job) -> Asked:
    facts = job.result or {}
    exit_code = facts.get("exit_code")
    is_answer = job.state == jobs.DONE and exit_code == 0
    return Asked(
        question=job.arguments["question"],
        state=job.state,
        reason=job.reason,
        exit_code=exit_code if isinstance(exit_code, int) else None,
        words="" if is_answer or job.is_open else _words(job),
        is_understood=not is_answer or job.arguments["question"] != talk.READY or _is_understood(job),
    )


def _is_understood(job: Job) -> bool:
    try:
        decode_ready(job_output(job))
    except ValueError:
        return False
    return True


def _words(job: Job) -> str:
    """What is told where there is no answer: the program's own last words, else the agent's."""
    output = job_output(job)[-_WORDS_BYTES:].decode(errors="replace").strip()
    return clean(output or job.message, _WORDS_BYTES)


def _ask(measurement: Measurement, task: Task, question: str, now: datetime) -> None:
    for line, facts in _lines(measurement, question, now):
        job_ask(
            task=task,
            kind=jobs.ASK,
            arguments={"words": ask_command(line), "question": question, **facts},
            asked_by=None,
            now=now,
            patience=talk.PATIENCE[question],
        )


def _lines(measurement: Measurement, question: str, now: datetime) -> list[tuple[str, dict[str, Any]]]:
    """What the program is told, and what the judge has to know of it. Places are drawn now, and not before."""
    if question == talk.READY:
        return [(ready_question(), {})]
    asked = question_choose(measurement=measurement, now=now)
    if question == talk.COMMIT:
        tag = bytes.fromhex(measurement.parameters["tag"])
        return [(commit_question(bytes.fromhex(asked.nonce), tag), {})]
    return [(reveal_question(Place(*place)), {"place": place}) for place in _places(measurement, asked)]


def _places(measurement: Measurement, asked: ChallengeQuestion) -> list[list[int]]:
    """Drawn once, and kept with what everything came to by then: a later try has to come to the same."""
    known = measurement.parameters.get("places")
    if known is not None:
        return list(known)
    drawn = places_to_show(Plan(**asked.plan), asked.gpus, secrets.randbelow)
    (commit,) = [job for job in jobs_of(measurement.task) if job.arguments["question"] == talk.COMMIT]
    measurement.parameters |= {
        "places": [[place.gpu, place.step, place.part, place.leaf] for place in drawn],
        "commitment": clean(job_output(commit).decode(errors="replace"), MOST_COMMITMENT_BYTES),
        "seconds": (commit.ended_at - commit.asked_at).total_seconds() if commit.ended_at else 0.0,
    }
    measurement.save(update_fields=["parameters"])
    return list(measurement.parameters["places"])
