"""Judges what a challenge's program has said: outside of any lock, as it takes a second of CPU. Writes nothing."""

import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.conf import settings

from dlperf.challenge import CHALLENGE_VERSION
from dlperf.challenge.answers import common_answer, decode_commitment, decode_revealed
from dlperf.challenge.plan import Place, Plan
from dlperf.challenge.verify import Auditor, commitment_problem
from hosting.domain import challenge_plans as plans
from hosting.domain import challenge_talk as talk
from hosting.domain import verification as rules
from hosting.domain.contradictions import driver_findings, measured_findings, same_hardware_finding
from hosting.domain.findings import Finding
from hosting.domain.measuring import SUCCEEDED
from hosting.domain.verification import Answer
from hosting.machine_claims import claims_of, claims_of_likely_twins, latest_medians
from hosting.models import ChallengeQuestion, ChallengeRun, Job, Machine, Measurement, QuietPeriod
from hosting.outputs import job_output
from hosting.selectors import judged_runs, specified_hardware
from hosting.services.challenge_talks import jobs_of

RUNS_LOOKED_AT = 500
RUNS_OF_A_HOST = 5
SAY_AFTER = timedelta(days=14)


@dataclass(frozen=True)
class Judgement:
    """What one challenge came to, before it is written down. ``passed`` is None where it may be our own fault."""

    findings: tuple[Finding, ...]
    passed: bool | None
    seconds: float | None = None
    answer: tuple[str, ...] | None = None
    shadow: frozenset[str] = frozenset()
    """Codes of findings that have no consequences."""


def judge(measurement: Measurement, question: ChallengeQuestion | None, now: datetime) -> Judgement:
    """What a challenge that is over comes to."""
    if measurement.parameters.get("version", 1) != CHALLENGE_VERSION:
        return Judgement((), None)  # it was asked before the marketplace was upgraded
    if measurement.state != SUCCEEDED or question is None or measurement.task is None:
        return _without_answer(measurement)
    plan, seconds = Plan(**question.plan), float(measurement.parameters["seconds"])
    wrong, answer = _checked(measurement, question, plan, bytes.fromhex(measurement.parameters["tag"]))
    findings = [Finding(rules.WRONG_ANSWER, wrong)] if wrong else []
    if answer is not None:
        findings += filter(None, [vote(measurement.machine, question, answer)])
    allowed = bounds_of(measurement.machine, plan, now)
    findings += _circumstances(measurement, plan, seconds, allowed)
    shadow = _codes_in_shadow(allowed)
    counting = [finding.code for finding in findings if finding.code not in shadow]
    excused = set(counting) <= plans.ALL_TIME_CODES and _was_our_outage(measurement)
    passed = None if counting and excused else not counting
    return Judgement(tuple(findings), passed, seconds, answer, shadow)


def _checked(
    measurement: Measurement, question: ChallengeQuestion, plan: Plan, tag: bytes
) -> tuple[str, tuple[str, ...] | None]:
    """What is wrong with all that was said, and, where nothing is, what others must agree with."""
    nonce, asked = bytes.fromhex(question.nonce), jobs_of(measurement.task)
    try:
        told = decode_commitment(measurement.parameters["commitment"])
        wrong = commitment_problem(told, nonce=nonce, gpus=question.gpus)
        wrong = wrong or _wrong_places(
            asked, Auditor(plan, told, nonce=nonce, tag=tag, seed=secrets.token_bytes(32)), plan
        )
    except ValueError as error:
        return str(error), None
    return (wrong, None) if wrong else ("", tuple(common_answer(told.gpus)))


def _wrong_places(asked: list[Job], auditor: Auditor, plan: Plan) -> str:
    """What is wrong with the first place that is not right."""
    for job in asked:
        if job.arguments["question"] != talk.REVEAL:
            continue
        place = Place(*job.arguments["place"])
        wrong = auditor.problem(decode_revealed(job_output(job), place, plan))
        if wrong:
            return wrong
    return ""


def _without_answer(measurement: Measurement) -> Judgement:
    knew_places = "places" in measurement.parameters  # then no fault of its own making gets it other ones
    if not (knew_places or measurement.problem in rules.COUNTS_AS_FAILED) or _was_our_outage(measurement):
        return Judgement((), None)
    finding = Finding(rules.NO_ANSWER, f"It gave no answer. {measurement.message}".strip())
    shadow = frozenset(settings.VERIFICATION_SHADOW)
    return Judgement((finding,), finding.code in shadow, shadow=shadow)


def _was_our_outage(measurement: Measurement) -> bool:
    """Whether the marketplace itself was away at some moment of the challenge."""
    since, until = measurement.ordered_at or measurement.asked_at, measurement.finished_at
    outages = QuietPeriod.objects.filter(kind=QuietPeriod.Kind.OWN_OUTAGE, ends_at__gte=since)
    return outages.filter(starts_at__lte=until).exists()


def _codes_in_shadow(allowed: plans.Bounds) -> frozenset[str]:
    """The checks without consequences: those that are being tried out, and bounds that no other hosts have proved."""
    chosen = frozenset(settings.VERIFICATION_SHADOW) | rules.WITHOUT_CONSEQUENCES
    return chosen if allowed.proved else chosen | plans.TIME_CODES


def bounds_of(machine: Machine, plan: Plan, now: datetime) -> plans.Bounds:
    """What the machine may take for a plan, by what other hosts' machines of its model took."""
    hardware = specified_hardware(machine)
    voices = [
        [
            run.seconds / plans.usual_seconds(Plan(**run.question.plan), hardware)
            for run in runs
            if run.seconds and run.question
        ]
        for runs in _voices(machine, now)
    ]
    return plans.bounds(plan, hardware, voices)


def _voices(machine: Machine, now: datetime) -> list[list[ChallengeRun]]:
    """The latest runs by rule that each other host's machines of the model passed: of those that are verified, and have
    been here for a while, so that accounts made for it have no say."""
    kept = ChallengeRun.objects.filter(passed=True, seconds__isnull=False, question__plan__has_key="side")
    kept = kept.filter(
        machine__gpu_name=machine.gpu_name,
        machine__simulated=False,
        machine__verification="verified",
        machine__registered_at__lte=now - SAY_AFTER,
    )
    kept = kept.exclude(machine__host_id=machine.host_id).exclude(measurement__reason=Measurement.Reason.HOST)
    voices: dict[int, list[ChallengeRun]] = {}
    for run in kept.select_related("question", "machine").order_by("-judged_at")[:RUNS_LOOKED_AT]:
        mine = voices.setdefault(run.machine.host_id, [])
        if len(mine) < RUNS_OF_A_HOST:
            mine.append(run)
    return list(voices.values())


def vote(machine: Machine, question: ChallengeQuestion, answer: tuple[str, ...]) -> Finding | None:
    """Whether the machine's answer is another than one that is known, or than that of other hosts' machines."""
    given = ChallengeRun.objects.filter(question=question, answer__isnull=False, machine__simulated=machine.simulated)
    others = [
        Answer(run.machine.host_id, tuple(run.answer or ()))
        for run in given.exclude(machine=machine).select_related("machine")
    ]
    return rules.vote_finding(Answer(machine.host_id, answer), others, question.known_answer)


def _circumstances(measurement: Measurement, plan: Plan, seconds: float, allowed: plans.Bounds) -> Iterator[Finding]:
    """How long it took, and whether what is said of the machine can all be true. Simulated GPUs are no claim."""
    machine = measurement.machine
    if machine.simulated:
        return
    alike = judged_runs(machine).filter(passed=True, question__plan=asdict(plan), seconds__isnull=False)
    earlier = [run.seconds for run in reversed(alike.order_by("-judged_at")[: plans.USUAL_RUNS]) if run.seconds]
    timing = plans.timing_finding(seconds, allowed)
    yield from filter(None, [timing, plans.throttling_finding(seconds, earlier)])
    said = claims_of(machine)
    yield from driver_findings(said)
    medians, gpus_seen = latest_medians(machine)
    yield from measured_findings(said, medians, gpus_seen=gpus_seen)
    yield from filter(None, [same_hardware_finding(said, claims_of_likely_twins(machine))])


def is_by_rule(measurement: Measurement) -> bool:
    """Whether it has consequences: what a host asks for, at a moment of its own choice, has none."""
    return measurement.reason != Measurement.Reason.HOST


def is_whole(measurement: Measurement) -> bool:
    """Whether all of the machine's GPUs were asked, those too that could not be used."""
    return bool(measurement.parameters.get("gpus") == measurement.machine.gpu_count)
