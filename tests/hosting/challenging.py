"""Machines that are challenged, for tests of what follows."""

from datetime import datetime, timedelta

from billing.models import AccountTerms, PayoutHold
from billing.services import meter_close, meter_open
from hosting.models import (
    ChallengeQuestion,
    ChallengeRun,
    Machine,
    Measurement,
    Task,
    VerificationCase,
    VerificationFinding,
)
from hosting.services.challenge_settling import challenges_settle
from hosting.services.challenge_sweeps import challenges_ask_due
from hosting.services.listing import listing_set
from marketplace.models import User
from tests.dlperf.challenges import reference
from tests.plumbing import market
from tests.plumbing.benchmarks import seen
from tests.plumbing.market import T0, TestAgent


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


def answer(agent: TestAgent, now: datetime, text: str | None = None, *, error: int = 0) -> ChallengeRun:
    """The machine's challenge ends with this line, by default the right one, and is judged."""
    task = task_of(agent)
    line = reference(nonce_of(agent), 2, error=error) if text is None else text
    agent.report(now, seen(task, "running"))
    agent.report(now, seen(task, "exited", exit_code=0, reason="exited", result=line))
    agent.obey(now)
    assert challenges_settle(now=now) == 1
    return ChallengeRun.objects.get(pk=challenge_of(agent).pk)


def challenged(agent: TestAgent, now: datetime, text: str | None = None, *, error: int = 0) -> ChallengeRun:
    """A challenge asked for by the rule, from beginning to end."""
    assert challenges_ask_due(now=now) == 1
    return answer(agent, now + timedelta(seconds=30), text, error=error)


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
