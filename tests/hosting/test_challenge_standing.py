"""What a challenge says of a machine depends on who asked for it, and on how much of the machine it was about."""

from datetime import timedelta
from functools import partial

import pytest

from agent.protocol import Inventory
from hosting.domain.verification import LAPSES_AFTER
from hosting.errors import HostingError
from hosting.models import Gpu, MachineEvent, VerificationCase
from hosting.services import challenge_settling
from hosting.services.challenge_settling import verifications_lapse
from hosting.services.challenge_sweeps import challenge_ask, challenges_ask_due
from hosting.services.measuring import challenge_order
from marketplace.services.lifecycle import instance_destroy
from marketplace.services.rent import instance_rent
from tests.hosting.challenging import (
    after,
    answer,
    begun,
    came_to_nothing,
    challenge_of,
    challenged,
    finished,
    machine,
    machine_of,
    program_of,
)
from tests.plumbing import market
from tests.plumbing.market import TestAgent

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("tiny_challenges")]


def said(agent: TestAgent, **facts: object) -> Inventory:
    """What the machine's agent tells of it, with these facts."""
    return market.inventory(2, **({"hostname": agent.machine.hostname, "simulated": False} | facts))


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


def test_a_verification_is_of_the_machine_as_it_was_challenged_and_of_no_other(agent: TestAgent) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    commit = begun(agent, after(20))
    others = [market.gpu(gpu.index, uuid=gpu.uuid, power_limit_w=250) for gpu in agent.machine.gpus.order_by("index")]
    agent.report(after(25), inventory=said(agent, gpus=others))
    run = finished(agent, commit, after(28))
    assert (run.passed, machine(agent).verification) == (None, "unverified")


def test_rates_that_the_agent_tells_of_a_known_model_change_nothing(agent: TestAgent) -> None:
    challenged(agent, after(10))
    gpus = [market.gpu(gpu.index, uuid=gpu.uuid, memory_bandwidth_gbps=936.1) for gpu in agent.machine.gpus.all()]
    agent.report(after(60), inventory=said(agent, gpus=sorted(gpus, key=lambda gpu: gpu.index)))
    assert machine(agent).verification == "verified"
    assert challenges_ask_due(now=after(70)) == 0


@pytest.mark.parametrize("change", [{"vram_mb": 49152}, {"compute_capability": "8.0"}, {"uuid": "GPU-another"}])
def test_gpus_that_are_said_to_be_others_are_verified_no_more(agent: TestAgent, change: dict[str, object]) -> None:
    challenged(agent, after(10))
    assert machine(agent).verification == "verified"
    first, second = agent.machine.gpus.order_by("index")
    gpus = [market.gpu(0, uuid=first.uuid), market.gpu(1, **({"uuid": second.uuid} | change))]
    agent.report(
        after(60), inventory=said(agent, gpus=[market.gpu(0, uuid=first.uuid), market.gpu(1, uuid=second.uuid)])
    )
    assert machine(agent).verification == "verified"
    agent.report(after(70), inventory=said(agent, gpus=gpus))
    assert machine(agent).verification == "unverified"


def test_gpus_of_a_model_that_nobody_knows_are_not_verified_by_what_their_agent_says_of_them() -> None:
    unknown = machine_of(gpus=[market.gpu(index, model="NVIDIA Whatever") for index in range(2)])
    assert challenged(unknown, after(10)).passed
    assert machine(unknown).verification == "unverified"


def test_gpus_whose_rates_nobody_knows_are_asked_nothing() -> None:
    idle = [market.gpu(index, model="NVIDIA Whatever", fp32_tflops=0.0) for index in range(2)]
    unknown = machine_of(gpus=idle)
    assert challenges_ask_due(now=after(10)) == 0
    with pytest.raises(HostingError) as refused:
        challenge_ask(machine_id=unknown.machine.pk, host=unknown.machine.host, now=after(10))
    assert "what they can do is not known" in refused.value.message


def test_an_answer_that_can_not_be_judged_keeps_no_other_waiting(
    agent: TestAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_facts: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(challenge_settling, "judge", broken)
    assert challenges_ask_due(now=after(10)) == 1
    run = answer(agent, after(40))
    assert run.passed is None


def test_a_challenge_of_the_hosts_that_waits_does_not_keep_the_rules_away(agent: TestAgent) -> None:
    challenged(agent, after(10))
    instance = instance_rent(
        client=market.user(dollars=900), offer_id=market.offer(agent).pk, request=market.wish(), now=after(3600)
    )
    agent.obey(after(3601))
    challenge_ask(machine_id=agent.machine.pk, host=agent.machine.host, now=after(3602))
    assert (challenge_of(agent).state, challenge_of(agent).reason) == ("waiting", "host")
    agent.report(after(40 * 3600))
    assert challenges_ask_due(now=after(40 * 3600)) == 1
    assert challenge_of(agent).reason == "daily"
    assert challenges_ask_due(now=after(40 * 3600 + 30)) == 0
    instance_destroy(instance_id=instance.pk, actor=instance.client, now=after(40 * 3600 + 60))


def test_what_a_host_asks_for_does_not_hide_what_came_to_nothing(agent: TestAgent) -> None:
    challenged(agent, after(10))
    for day in range(1, LAPSES_AFTER + 1):
        at = after(day * 40 * 3600)
        agent.report(at)
        assert challenges_ask_due(now=at) == 1
        came_to_nothing(agent, "engine_down", at + timedelta(seconds=60))
        for number in range(1, 3):
            asked = at + timedelta(minutes=15 * number)
            agent.report(asked)
            measurement = challenge_order(machine_id=agent.machine.pk, reason="host", now=asked)
            assert measurement.reason == "host"
            assert answer(agent, asked + timedelta(seconds=40)).passed
    assert machine(agent).verification == "unverified"


def test_a_verification_lapses_where_no_challenge_was_passed_for_long(agent: TestAgent) -> None:
    challenged(agent, after(10))
    assert verifications_lapse(now=after(29 * 24 * 3600)) == 0
    assert verifications_lapse(now=after(31 * 24 * 3600)) == 1
    assert verifications_lapse(now=after(31 * 24 * 3600)) == 0
    assert (machine(agent).verification, market.offer(agent).verification) == ("unverified", "unverified")


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
    run = answer(agent, after(60), partial(program_of, gpus=1))
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
            assert answer(agent, at + timedelta(seconds=60), partial(program_of, gpus=1)).passed
    assert machine(agent).verification == "unverified"
    assert "came to nothing or left out" in MachineEvent.objects.filter(kind="unverified").latest("pk").message
