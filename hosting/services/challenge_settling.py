"""Writes down what challenges that are over come to, and does what follows for machine and host."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

import structlog
from django.db import DatabaseError, transaction
from django.db.models import Exists, OuterRef

from hosting.domain import jobs
from hosting.domain import verification as rules
from hosting.domain.findings import Finding
from hosting.domain.requirements import lacks
from hosting.locks import lock_machine
from hosting.machine_claims import facts_of_machine
from hosting.models import (
    ChallengeQuestion,
    ChallengeRun,
    JobChunk,
    Machine,
    Measurement,
    Pulse,
    VerificationCase,
    VerificationFinding,
)
from hosting.selectors import is_known_model, judged_runs
from hosting.services.challenge_judging import Judgement, is_by_rule, is_whole, judge, vote
from hosting.services.challenge_questions import challenged_hardware
from hosting.services.quiet_periods import PULSE, PULSE_MISSED_AFTER
from hosting.services.reliability import performance_check_record
from hosting.services.verification import machine_set_verification
from hosting.services.verification_cases import case_open

logger = structlog.get_logger(__name__)

JUDGED_AT_ONCE = 50
LAPSED_AT_ONCE = 100


def challenges_settle(*, now: datetime) -> int:
    """Judge every challenge that is over and was not judged; returns how many were.

    Each in a transaction of its own: one that fails is logged and holds up no other. None as long as the sweeper that
    notices our own outages is away itself: nobody must fail because of one that is not yet written down.
    """
    if Pulse.objects.filter(name=PULSE, at__lt=now - PULSE_MISSED_AFTER).exists():
        return 0
    over = Measurement.objects.filter(kind=Measurement.Kind.CHALLENGE, finished_at__isnull=False, judgement=None)
    found = list(over.select_related("machine", "task").order_by("finished_at", "pk")[:JUDGED_AT_ONCE])
    return sum(_settle_alone(measurement, now) for measurement in found)


def _settle_alone(measurement: Measurement, now: datetime) -> bool:
    try:
        return challenge_settle(measurement=measurement, now=now)
    except DatabaseError:
        logger.exception("challenge_not_settled", measurement_id=measurement.pk)
        return False
    except Exception:  # whatever a stranger's answer brings about must not hold up all others'
        logger.exception("challenge_not_judged", measurement_id=measurement.pk)
        return _give_up(measurement, now)


def _give_up(measurement: Measurement, now: datetime) -> bool:
    """Else it would come first again, and keep all others waiting."""
    with transaction.atomic():
        lock_machine(measurement.machine_id)
        if ChallengeRun.objects.filter(pk=measurement.pk).exists():
            return False
        _store(measurement, None, Judgement((), None), now)
        return True


def challenge_settle(*, measurement: Measurement, now: datetime) -> bool:
    """Judge one challenge and do what follows; False where another worker was sooner."""
    question = ChallengeQuestion.objects.filter(pk=measurement.parameters.get("question")).first()
    judgement = judge(measurement, question, now)
    with transaction.atomic():
        machine = lock_machine(measurement.machine_id)
        if ChallengeRun.objects.filter(pk=measurement.pk).exists():
            return False
        if judgement.passed and measurement.parameters.get("hardware") != challenged_hardware(machine):
            judgement = replace(judgement, passed=None)  # it passed as something else than it is now
        run = _store(measurement, question, judgement, now)
        if is_by_rule(measurement) and not machine.simulated:
            _follow(machine, run, is_whole=is_whole(measurement), now=now)
    if question is not None and judgement.answer is not None:
        _count_again(question, measurement.machine_id, now)
    return True


def _store(
    measurement: Measurement, question: ChallengeQuestion | None, judgement: Judgement, now: datetime
) -> ChallengeRun:
    """What was shown is megabytes, and has been looked at."""
    run = ChallengeRun.objects.create(
        measurement=measurement,
        machine_id=measurement.machine_id,
        question=question,
        judged_at=now,
        passed=judgement.passed,
        seconds=judgement.seconds,
        answer=judgement.answer,
    )
    _store_findings(run, judgement.findings, judgement.shadow, now)
    JobChunk.objects.filter(job__task__label=f"B.{measurement.pk}", job__kind=jobs.ASK).delete()
    return run


def _store_findings(run: ChallengeRun, findings: Collection[Finding], shadow: frozenset[str], now: datetime) -> None:
    VerificationFinding.objects.bulk_create(
        VerificationFinding(
            machine_id=run.machine_id,
            run=run,
            code=finding.code,
            evidence=finding.evidence,
            shadow=finding.code in shadow,
            at=now,
        )
        for finding in findings
    )


def _follow(machine: Machine, run: ChallengeRun, *, is_whole: bool, now: datetime) -> None:
    """The consequences of a judgement for the locked machine."""
    if run.passed is not None:
        performance_check_record(machine_id=machine.pk, passed=run.passed, at=now, details={"challenge": run.pk})
    if run.passed and is_whole:
        _verify(machine, now)
    elif run.passed is False:
        _punish(machine, now)
    else:
        _doubt(machine, now)


def _verify(machine: Machine, now: datetime) -> None:
    if machine.verification != "unverified" or lacks(facts_of_machine(machine)) or not is_known_model(machine):
        return
    reason = "It passed a challenge and has what a machine needs."
    machine_set_verification(machine_id=machine.pk, verification="verified", actor=None, reason=reason, now=now)


def _punish(machine: Machine, now: datetime) -> None:
    history = [bool(passed) for passed in judged_runs(machine).values_list("passed", flat=True)]
    undecided = VerificationCase.objects.filter(machine=machine, state__in=rules.CASES_UNDECIDED)
    if rules.has_failed(history) and machine.verification != "deverified" and not undecided.exists():
        case_open(machine=machine, evidence=_evidence(machine), now=now)


def _doubt(machine: Machine, now: datetime) -> None:
    """A machine that never comes to an answer, or never with all of its GPUs, does not stay verified by that."""
    if machine.verification != "verified":
        return
    latest = ChallengeRun.objects.filter(machine=machine).select_related("measurement__machine")
    latest = latest.exclude(measurement__reason=Measurement.Reason.HOST)
    by_rule = list(latest.order_by("-judged_at", "-pk")[: rules.LAPSES_AFTER])
    whole = (number for number, run in enumerate(by_rule) if run.passed and is_whole(run.measurement))
    if not rules.has_lapsed(next(whole, len(by_rule))):
        return
    reason = (
        f"{rules.LAPSES_AFTER} challenges in a row came to nothing or left out GPUs that can't be used. "
        "The next one that all GPUs pass verifies it again."
    )
    machine_set_verification(machine_id=machine.pk, verification="unverified", actor=None, reason=reason, now=now)


def verifications_lapse(*, now: datetime) -> int:
    """Machines that have passed no challenge by rule for long are verified no more; returns how many those are."""
    passed = ChallengeRun.objects.filter(machine=OuterRef("pk"), passed=True, judged_at__gt=now - rules.VERIFIED_FOR)
    lately = passed.exclude(measurement__reason=Measurement.Reason.HOST)
    old = Machine.objects.filter(verification="verified", simulated=False, removed_at=None).exclude(Exists(lately))
    ids = list(old.order_by("pk").values_list("pk", flat=True)[:LAPSED_AT_ONCE])
    reason = (
        f"It has passed no challenge for {rules.VERIFIED_FOR.days} days. The next one that it passes verifies it again."
    )
    for pk in ids:
        machine_set_verification(machine_id=pk, verification="unverified", actor=None, reason=reason, now=now)
    return len(ids)


def _evidence(machine: Machine) -> str:
    """What was found in the latest challenges that were failed, oldest first."""
    failed = list(judged_runs(machine).filter(passed=False).order_by("-judged_at", "-pk")[: rules.FAILURES_SHOWN])
    found = VerificationFinding.objects.filter(run__in=failed, shadow=False).order_by("at", "pk")
    return "\n".join(f"{finding.at:%Y-%m-%d %H:%M} UTC: {finding.evidence}" for finding in found)


def _count_again(question: ChallengeQuestion, but_machine_id: int, now: datetime) -> None:
    """A new voice may outvote machines that were believed before: that is noted, once."""
    believed = ChallengeRun.objects.filter(question=question, answer__isnull=False).exclude(machine_id=but_machine_id)
    noted = VerificationFinding.objects.filter(run__question=question, code=rules.OUTVOTED).values("run_id")
    for run in believed.exclude(pk__in=noted).select_related("machine"):
        finding = vote(run.machine, question, tuple(run.answer or ()))
        if finding is not None and finding.code == rules.OUTVOTED:
            _store_findings(run, (finding,), rules.WITHOUT_CONSEQUENCES, now)
