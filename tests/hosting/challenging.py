"""Machines that are challenged, for tests of what follows."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta

from agent.job_protocol import JobReport
from billing.models import AccountTerms, PayoutHold
from billing.services import meter_close, meter_open
from dlperf.challenge import CHALLENGE_VERSION
from dlperf.challenge.plan import Place
from hosting.models import (
    ChallengeQuestion,
    ChallengeRun,
    Job,
    Machine,
    Measurement,
    Task,
    VerificationCase,
    VerificationFinding,
)
from hosting.services.challenge_settling import challenges_settle
from hosting.services.challenge_sweeps import challenges_ask_due
from hosting.services.job_output import output_take
from hosting.services.listing import listing_set
from hosting.services.measuring import measurement_fail
from marketplace.models import User
from tests.dlperf.challenges import Reference
from tests.plumbing import market
from tests.plumbing.benchmarks import seen
from tests.plumbing.market import T0, TestAgent

Program = Callable[[TestAgent], Reference]
READY = json.dumps({"version": CHALLENGE_VERSION, "device": "cpu", "gpus": 2})


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def machine_of(host: User | None = None, **facts: object) -> TestAgent:
    owner = host or market.user()
    values: dict[str, object] = {"hostname": f"rig-{owner.pk}", "simulated": False} | facts
    agent = TestAgent(market.register(owner, market.inventory(2, **values)))
    agent.report(T0)
    listing_set(machine_id=agent.machine.pk, host=owner, terms=market.terms(), now=T0)
    return agent


def challenge_of(agent: TestAgent) -> Measurement:
    return Measurement.objects.filter(machine=agent.machine, kind="challenge").latest("pk")


def task_of(agent: TestAgent) -> Task:
    return Task.objects.get(measurement=challenge_of(agent))


def nonce_of(agent: TestAgent) -> bytes:
    question = ChallengeQuestion.objects.get(pk=challenge_of(agent).parameters["question"])
    return bytes.fromhex(question.nonce)


def program_of(agent: TestAgent, *, gpus: int = 2, error: int = 0, nonce: bytes | None = None) -> Reference:
    """The program that the machine's challenge runs; by default an honest one."""
    tag = bytes.fromhex(challenge_of(agent).parameters["tag"])
    return Reference(nonce_of(agent) if nonce is None else nonce, tag, gpus, error=error)


def questions_of(agent: TestAgent) -> list[Job]:
    """What the machine is asked just now."""
    asked = Job.objects.filter(task=task_of(agent), kind="ask", state="asked")
    return list(asked.order_by("pk"))


def reply(agent: TestAgent, now: datetime, *answers: tuple[Job, str], exit_code: int | None = 0) -> None:
    """The machine's answers to questions."""
    for job, text in answers:
        output_take(machine=agent.machine, job_id=job.pk, start=0, content=text.encode(), now=now)
    told = [JobReport(job_id=job.pk, state="done", result={"exit_code": exit_code}) for job, _ in answers]
    agent.report(now, jobs=told)


def said(program: Reference, job: Job) -> str:
    """What a program says to a question."""
    if job.arguments["question"] == "reveal":
        gpu, *rest = job.arguments["place"]
        return program.revealed(Place(gpu % len(program.states), *rest))
    return program.commitment() if job.arguments["question"] == "commit" else READY


def begun(agent: TestAgent, now: datetime) -> Job:
    """The program runs and is ready; the question with the nonce."""
    agent.report(now, seen(task_of(agent), "running"))
    (ready,) = questions_of(agent)
    assert ready.arguments["question"] == "ready"
    reply(agent, now, (ready, READY))
    (commit,) = questions_of(agent)
    assert commit.arguments["question"] == "commit"
    return commit


def answer(
    agent: TestAgent, now: datetime, program: Program | None = None, *, seconds: float = 8.0, error: int = 0
) -> ChallengeRun:
    """The machine's challenge is talked with, takes so long until ``now``, and is judged."""
    return finished(agent, begun(agent, now - timedelta(seconds=seconds)), now, program, error=error)


def finished(
    agent: TestAgent, commit: Job, now: datetime, program: Program | None = None, *, error: int = 0
) -> ChallengeRun:
    """The rest of the talk, from the answer to the question with the nonce on."""
    spoken = program(agent) if program is not None else program_of(agent, error=error)
    reply(agent, now, (commit, said(spoken, commit)))
    reply(agent, now, *[(job, said(spoken, job)) for job in questions_of(agent)])
    agent.obey(now)
    assert challenges_settle(now=now) == 1
    return ChallengeRun.objects.get(pk=challenge_of(agent).pk)


def came_to_nothing(agent: TestAgent, problem: str, now: datetime) -> ChallengeRun:
    """The machine's challenge ends without an answer, is judged, and its container is removed."""
    measurement = Measurement.objects.select_related("task", "machine").get(pk=challenge_of(agent).pk)
    measurement_fail(measurement=measurement, problem=problem, message="", now=now)
    agent.obey(now)
    assert challenges_settle(now=now) == 1
    return ChallengeRun.objects.get(pk=measurement.pk)


def challenged(agent: TestAgent, now: datetime, program: Program | None = None, *, error: int = 0) -> ChallengeRun:
    """A challenge asked for by the rule, from beginning to end."""
    assert challenges_ask_due(now=now) == 1
    return answer(agent, now + timedelta(seconds=30), program, error=error)


def machine(agent: TestAgent) -> Machine:
    return Machine.objects.get(pk=agent.machine.pk)


def codes(agent: TestAgent) -> list[str]:
    return list(VerificationFinding.objects.filter(machine=agent.machine).order_by("pk").values_list("code", flat=True))


def held(agent: TestAgent) -> str:
    """Why all payouts of the machine's host are held."""
    terms = AccountTerms.objects.filter(owner=agent.machine.host).first()
    return terms.payouts_held_reason if terms else ""


def held_micros(agent: TestAgent) -> int:
    """What is held of its earnings."""
    holds = PayoutHold.objects.filter(host=agent.machine.host, state__in=("held", "upheld"))
    return sum(holds.values_list("amount_micros", flat=True))


def has_earned(agent: TestAgent, now: datetime, micros: int, reference: str = "earned") -> None:
    """The machine earned its host this much in the hour to ``now``."""
    payer = market.user()
    meter_open(
        reference=reference,
        kind="gpu",
        payer=payer,
        payee=agent.machine.host,
        rate_micros_per_hour=micros,
        now=now - timedelta(hours=1),
        running=True,
        earner=f"machine:{agent.machine.pk}",
        host_share_bps=10_000,
    )
    meter_close(reference=reference, at=now)


def failed_twice(agent: TestAgent) -> VerificationCase:
    challenged(agent, after(60), error=1)
    challenged(agent, after(120), error=1)
    return VerificationCase.objects.get(machine=agent.machine)
