"""What a challenge says of a machine depends on who asked for it, and on how much of the machine it was about."""

from datetime import timedelta
from functools import partial

import pytest

from hosting.domain.verification import LAPSES_AFTER
from hosting.errors import HostingError
from hosting.models import Gpu, MachineEvent, VerificationCase
from hosting.services.challenge_sweeps import challenge_ask, challenges_ask_due
from tests.hosting.challenging import (
    after,
    answer,
    came_to_nothing,
    challenge_of,
    challenged,
    machine,
    program_of,
)
from tests.plumbing.market import TestAgent

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("tiny_challenges")]


def test_what_the_host_asks_for_counts_for_nothing(agent: TestAgent) -> None:
    challenged(agent, after(10))
    checks = MachineEvent.objects.filter(kind="performance_check")
    assert checks.count() == 1
    for number in range(3):
        at = after(100 + 700 * number)
        agent.report(at)
        challenge_ask(machine_id=agent.machine.pk, host=agent.machine.host, now=at)
        assert challenge_of(agent).reason == "host"
        assert not answer(agent, at + timedelta(seconds=40), error=1).passed
    assert (checks.count(), machine(agent).verification, VerificationCase.objects.count()) == (1, "verified", 0)
    agent.report(after(37 * 3600))
    challenge_ask(machine_id=agent.machine.pk, host=agent.machine.host, now=after(37 * 3600))
    assert challenge_of(agent).reason == "host"
    assert answer(agent, after(37 * 3600 + 60)).passed
    assert challenges_ask_due(now=after(37 * 3600 + 100)) == 1
    assert challenge_of(agent).reason == "daily"


def test_a_host_can_not_keep_the_marketplace_computing(agent: TestAgent) -> None:
    challenged(agent, after(10))
    ask = partial(challenge_ask, machine_id=agent.machine.pk, host=agent.machine.host)
    first = ask(now=after(100))
    assert ask(now=after(101)) == first
    assert answer(agent, after(140)).passed
    with pytest.raises(HostingError) as refused:
        ask(now=after(150))
    assert refused.value.code == "too_soon"
    assert ask(now=after(701)) != first


def test_a_host_that_has_mended_its_machine_need_not_wait_for_the_next_try(agent: TestAgent) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    assert came_to_nothing(agent, "image_pull_failed", after(20)).passed is None
    assert challenges_ask_due(now=after(3600)) == 0
    challenge_ask(machine_id=agent.machine.pk, host=agent.machine.host, now=after(3600))
    assert challenge_of(agent).reason == "listing"
    assert answer(agent, after(3700)).passed
    assert machine(agent).verification == "verified"


def test_gpus_that_are_left_out_are_not_verified_by_the_others(agent: TestAgent) -> None:
    Gpu.objects.filter(machine=agent.machine, index=1).update(unhealthy_reason="xid_79")
    assert challenges_ask_due(now=after(10)) == 1
    run = answer(agent, after(60), program_of(agent, gpus=1))
    assert (run.passed, machine(agent).verification) == (True, "unverified")
    Gpu.objects.filter(machine=agent.machine).update(unhealthy_reason="")
    assert challenges_ask_due(now=after(100)) == 1
    assert challenge_of(agent).reason == "hardware"
    assert answer(agent, after(160)).passed
    assert machine(agent).verification == "verified"


@pytest.mark.parametrize("comes_to_nothing", [True, False])
def test_a_machine_that_never_comes_to_a_whole_answer_does_not_stay_verified(
    agent: TestAgent, comes_to_nothing: bool
) -> None:
    challenged(agent, after(10))
    if not comes_to_nothing:
        Gpu.objects.filter(machine=agent.machine, index=1).update(unhealthy_reason="xid_79")
    for number in range(1, LAPSES_AFTER + 1):
        assert machine(agent).verification == "verified"
        at = after(number * 40 * 3600)
        agent.report(at)
        assert challenges_ask_due(now=at) == 1
        if comes_to_nothing:
            assert came_to_nothing(agent, "engine_down", at + timedelta(seconds=60)).passed is None
        else:
            assert answer(agent, at + timedelta(seconds=60), program_of(agent, gpus=1)).passed
    assert machine(agent).verification == "unverified"
    assert "came to nothing or left out" in MachineEvent.objects.filter(kind="unverified").latest("pk").message
