"""How long challenges take by the server's clock, and what follows from that."""

from datetime import datetime, timedelta

import pytest

from hosting.models import ChallengeRun, Machine, VerificationFinding
from hosting.services.challenge_judging import bounds_of
from hosting.services.challenge_sweeps import challenges_ask_due
from marketplace.models import User
from tests.dlperf.challenges import TINY
from tests.hosting.challenging import after, answer, codes, machine, machine_of
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("tiny_challenges")]


def slow(agent: TestAgent, asked_at: datetime, seconds: float) -> ChallengeRun:
    """A challenge whose program needs so many seconds for its answer."""
    assert challenges_ask_due(now=asked_at) == 1
    return answer(agent, asked_at + timedelta(seconds=seconds + 5), seconds=seconds)


def kept_by(*hosts: User, at: datetime, seconds: float = 9) -> None:
    """Machines of these hosts, of the same model, that have been here for a while, pass a challenge."""
    agents = [machine_of(host, hostname=f"rig-{number}") for number, host in enumerate(hosts)]
    Machine.objects.update(registered_at=at - timedelta(days=15))
    assert challenges_ask_due(now=at) == len(agents)
    assert all(answer(one, at + timedelta(seconds=20), seconds=seconds).passed for one in agents)


@pytest.mark.parametrize(("seconds", "code"), [(40, "too_slow"), (2, "too_fast"), (14, "")])
def test_an_answer_that_takes_another_time_than_on_other_hosts_machines_fails(seconds: float, code: str) -> None:
    kept_by(market.user(), market.user(), market.user(), at=T0)
    agent = machine_of()
    run = slow(agent, after(60), seconds)
    assert (run.passed, run.seconds, codes(agent)) == (not code, seconds, [code] if code else [])


@pytest.mark.parametrize("hosts", ["", "a", "a b", "a a a", "a b own"])
def test_bounds_of_a_model_are_in_shadow_until_three_other_hosts_kept_them(hosts: str) -> None:
    owners = {name: market.user() for name in ("a", "b", "own")}
    kept_by(*(owners[name] for name in hosts.split()), at=T0)
    agent = machine_of(owners["own"], hostname="rig-slow")
    run = slow(agent, after(60), 40)
    finding = VerificationFinding.objects.get(run=run)
    assert (run.passed, finding.code, finding.shadow) == (True, "too_slow", True)


def test_accounts_made_for_it_have_no_say_in_how_long_others_may_take() -> None:
    kept_by(market.user(), market.user(), market.user(), at=T0, seconds=14)
    Machine.objects.update(registered_at=T0)
    agent = machine_of()
    run = slow(agent, after(60), 8)
    assert (run.passed, codes(agent)) == (True, [])
    assert not bounds_of(machine(agent), TINY, after(100)).proved


def test_fetching_the_program_and_starting_it_may_take_as_long_as_they_do() -> None:
    kept_by(market.user(), market.user(), market.user(), at=T0)
    agent = machine_of()
    assert challenges_ask_due(now=after(60)) == 1
    run = answer(agent, after(3600), seconds=10)
    assert (run.passed, run.seconds, codes(agent)) == (True, 10.0, [])


def test_a_machine_that_is_throttled_once_it_is_verified_fails(agent: TestAgent) -> None:
    for day in range(3):
        agent.report(after(day * 40 * 3600))
        assert slow(agent, after(day * 40 * 3600 + 10), 9).passed
    agent.report(after(120 * 3600))
    run = slow(agent, after(120 * 3600 + 10), 25)
    counting = VerificationFinding.objects.filter(run=run, shadow=False)
    assert (run.passed, counting.get().code) == (False, "slower_than_before")
