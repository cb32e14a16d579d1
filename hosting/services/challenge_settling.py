"""Judges challenges that are over, outside of any lock, and then does what follows."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.conf import settings
from django.db import transaction

from dlperf.challenge.plan import Plan
from dlperf.challenge.transcript import answer_of, decode_transcript
from dlperf.challenge.verify import problem
from hosting.domain import verification as rules
from hosting.domain.contradictions import driver_findings, measured_findings, same_hardware_finding
from hosting.domain.measuring import SUCCEEDED
from hosting.domain.requirements import lacks
from hosting.domain.verification import Answer, Finding
from hosting.locks import lock_machine
from hosting.machine_claims import claims_of, claims_of_likely_twins, facts_of_machine, latest_medians
from hosting.models import ChallengeQuestion, ChallengeRun, Machine, Measurement, VerificationCase, VerificationFinding
from hosting.selectors import judged_runs, specified_hardware
from hosting.services.reliability import performance_check_record
from hosting.services.verification import machine_set_verification
from hosting.services.verification_cases import case_open

logger = structlog.get_logger(__name__)

JUDGED_AT_ONCE = 50


@dataclass(frozen=True)
class Judgement:
    """What one challenge came to, before it is written down. ``passed`` is None where it may be our own fault."""

    findings: tuple[Finding, ...]
    passed: bool | None
    seconds: float | None = None
    answer: tuple[str, ...] | None = None
    shadow: frozenset[str] = frozenset()
    """Codes of findings that have no consequences."""


def challenges_settle(*, now: datetime) -> int:
    """Judge every challenge that is over and was not judged; returns how many were.

    Each in a transaction of its own: one that fails is logged and holds up no other.
    """
    over = Measurement.objects.filter(kind=Measurement.Kind.CHALLENGE, finished_at__isnull=False, judgement=None)
    found = list(over.select_related("machine", "task").order_by("finished_at", "pk")[:JUDGED_AT_ONCE])
    return sum(_settle_alone(measurement, now) for measurement in found)


def _settle_alone(measurement: Measurement, now: datetime) -> bool:
    try:
        return challenge_settle(measurement=measurement, now=now)
    except Exception:
        logger.exception("challenge_not_settled", measurement_id=measurement.pk)
        return False


def challenge_settle(*, measurement: Measurement, now: datetime) -> bool:
    """Judge one challenge and do what follows; False where another worker was sooner."""
    question = ChallengeQuestion.objects.filter(pk=measurement.parameters.get("question")).first()
    judgement = _judge(measurement, question)
    with transaction.atomic():
        machine = lock_machine(measurement.machine_id)
        if ChallengeRun.objects.filter(pk=measurement.pk).exists():
            return False
        run = _store(measurement, question, judgement, now)
        if not machine.simulated and judgement.passed is not None:
            _follow(machine, run, judgement.passed, now)
    if question is not None and judgement.answer is not None:
        _reconsider(question, measurement.machine_id, now)
    return True


def _judge(measurement: Measurement, question: ChallengeQuestion | None) -> Judgement:
    if measurement.state != SUCCEEDED or question is None or measurement.task is None:
        return _without_answer(measurement)
    plan = Plan(**question.plan)
    finished, ordered = measurement.finished_at, measurement.ordered_at
    seconds = (finished - ordered).total_seconds() if finished and ordered else 0.0
    try:
        told = decode_transcript(measurement.task.result or "", plan)
        wrong = problem(
            told,
            plan=plan,
            nonce=bytes.fromhex(question.nonce),
            gpus=question.gpus,
            seed=secrets.token_bytes(32),
        )
        answer = tuple(answer_of(told.gpus))
    except ValueError as error:
        wrong, answer = str(error), None
    findings = [Finding(rules.WRONG_ANSWER, wrong)] if wrong else []
    if answer is not None and not wrong:
        findings += filter(None, [_vote(measurement.machine, question, answer)])
    findings += _circumstances(measurement, plan, seconds)
    shadow = _codes_in_shadow(measurement.machine, plan)
    excused = _was_fetching(measurement) and any(finding.code == rules.TOO_SLOW for finding in findings)
    if excused:
        findings = [finding for finding in findings if finding.code != rules.TOO_SLOW]
    passed = _counts(findings, shadow)
    judged = None if excused and passed else passed
    return Judgement(tuple(findings), judged, seconds, answer if not wrong else None, shadow)


def _was_fetching(measurement: Measurement) -> bool:
    """Whether the machine may have had to fetch the program's image first: it began late, and never had it before."""
    began, ordered = measurement.running_since, measurement.ordered_at
    if began is None or ordered is None or (began - ordered).total_seconds() <= rules.START_SECONDS:
        return False
    image = measurement.task.spec["image"] if measurement.task else ""
    earlier = Measurement.objects.filter(machine=measurement.machine, state=SUCCEEDED, task__spec__image=image)
    return not earlier.exclude(pk=measurement.pk).exists()


def _without_answer(measurement: Measurement) -> Judgement:
    if measurement.problem not in rules.COUNTS_AS_FAILED:
        return Judgement((), None)
    finding = Finding(rules.NO_ANSWER, f"It gave no answer. {measurement.message}".strip())
    shadow = frozenset(settings.VERIFICATION_SHADOW)
    return Judgement((finding,), _counts([finding], shadow), shadow=shadow)


def _counts(findings: list[Finding], shadow: frozenset[str]) -> bool:
    """Passed, unless something was found by a check that is in force."""
    return all(finding.code in shadow for finding in findings)


def _codes_in_shadow(machine: Machine, plan: Plan) -> frozenset[str]:
    """The checks that are being tried out; those of time are until machines of enough other hosts kept the bounds."""
    chosen = frozenset(settings.VERIFICATION_SHADOW)
    kept = ChallengeRun.objects.filter(passed=True, question__plan=measurement_plan(plan), machine__simulated=False)
    kept = kept.exclude(machine__host_id=machine.host_id).exclude(findings__code__in=rules.TIME_CODES)
    hosts = kept.filter(machine__gpu_name=machine.gpu_name).values("machine__host_id").distinct().count()
    return chosen if rules.bounds_hold(hosts) else chosen | rules.TIME_CODES


def _vote(machine: Machine, question: ChallengeQuestion, answer: tuple[str, ...]) -> Finding | None:
    given = ChallengeRun.objects.filter(question=question, answer__isnull=False, machine__simulated=machine.simulated)
    others = [
        Answer(run.machine.host_id, tuple(run.answer or ()))
        for run in given.exclude(machine=machine).select_related("machine")
    ]
    return rules.vote_finding(Answer(machine.host_id, answer), others, question.known_answer)


def _circumstances(measurement: Measurement, plan: Plan, seconds: float) -> Iterator[Finding]:
    """How long it took, and whether what is said of the machine can all be true. Simulated GPUs are no claim."""
    machine = measurement.machine
    if machine.simulated:
        return
    timing = rules.timing_finding(seconds, rules.bounds(plan, specified_hardware(machine)))
    alike = judged_runs(machine).filter(passed=True, question__plan=measurement_plan(plan), seconds__isnull=False)
    earlier = [run.seconds for run in reversed(alike.order_by("-judged_at")[: rules.USUAL_RUNS]) if run.seconds]
    yield from filter(None, [timing, rules.throttling_finding(seconds, earlier)])
    said = claims_of(machine)
    yield from driver_findings(said)
    medians, gpus_seen = latest_medians(machine)
    yield from measured_findings(said, medians, gpus_seen=gpus_seen)
    yield from filter(None, [same_hardware_finding(said, claims_of_likely_twins(machine))])


def measurement_plan(plan: Plan) -> dict[str, int]:
    """The plan as questions keep it."""
    return {name: getattr(plan, name) for name in ("width", "depth", "steps", "passes", "buffer_rows")}


def _store(
    measurement: Measurement, question: ChallengeQuestion | None, judgement: Judgement, now: datetime
) -> ChallengeRun:
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
    return run


def _store_findings(run: ChallengeRun, findings: tuple[Finding, ...], shadow: frozenset[str], now: datetime) -> None:
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


def _follow(machine: Machine, run: ChallengeRun, passed: bool, now: datetime) -> None:
    """The consequences of a judgement for the locked machine."""
    performance_check_record(machine_id=machine.pk, passed=passed, at=now, details={"challenge": run.pk})
    if passed:
        if machine.verification == "unverified" and not lacks(facts_of_machine(machine)):
            reason = "It passed a challenge and has what a machine needs."
            machine_set_verification(machine_id=machine.pk, verification="verified", actor=None, reason=reason, now=now)
        return
    history = [bool(passed) for passed in judged_runs(machine).values_list("passed", flat=True)]
    undecided = VerificationCase.objects.filter(machine=machine, state__in=rules.CASES_UNDECIDED)
    if rules.has_failed(history) and machine.verification != "deverified" and not undecided.exists():
        case_open(machine=machine, evidence=_evidence(machine), now=now)


def _evidence(machine: Machine) -> str:
    """What was found in the two challenges that were failed, oldest first."""
    failed = list(judged_runs(machine).order_by("-judged_at", "-pk")[:2])
    found = VerificationFinding.objects.filter(run__in=failed, shadow=False).order_by("at", "pk")
    return "\n".join(f"{finding.at:%Y-%m-%d %H:%M} UTC: {finding.evidence}" for finding in found)


def _reconsider(question: ChallengeQuestion, but_machine_id: int, now: datetime) -> None:
    """A new voice may outvote machines that were believed before."""
    passed = ChallengeRun.objects.filter(question=question, passed=True, answer__isnull=False)
    for run in passed.exclude(machine_id=but_machine_id).select_related("machine"):
        finding = _vote(run.machine, question, tuple(run.answer or ()))
        if finding is None or finding.code in settings.VERIFICATION_SHADOW:
            continue
        with transaction.atomic():
            machine = lock_machine(run.machine_id)
            if ChallengeRun.objects.filter(pk=run.pk, passed=True).update(passed=False):
                _store_findings(run, (finding,), frozenset(), now)
                _follow(machine, run, False, now)
