"""The talk with a challenge's program: which question comes when, what is told twice, late or not at all."""

from datetime import datetime, timedelta

import pytest

from agent.job_protocol import JobReport
from dlperf import EXIT_UNSUPPORTED
from dlperf.challenge.command import EXIT_FAILED
from hosting.domain.challenge_plans import GROUPS_SHOWN, PRODUCTS_SHOWN
from hosting.errors import HostingError
from hosting.models import ChallengeRun, Job, Measurement, VerificationFinding
from hosting.services.challenge_settling import challenges_settle
from hosting.services.challenge_sweeps import challenges_ask_due
from hosting.services.challenge_talks import challenges_talk_on
from hosting.services.job_output import output_take
from hosting.services.jobs import jobs_sweep
from hosting.services.measurement_sweeps import measurements_sweep
from hosting.services.quiet_periods import own_outage_record, pulse_beat
from marketplace.services.lifecycle import instance_destroy
from marketplace.services.rent import instance_rent
from tests.dlperf.challenges import Reference
from tests.hosting.challenging import (
    after,
    answer,
    begun,
    came_to_nothing,
    challenge_of,
    codes,
    program_of,
    questions_of,
    reply,
    task_of,
)
from tests.plumbing import market
from tests.plumbing.benchmarks import seen
from tests.plumbing.market import TestAgent

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("tiny_challenges")]


def test_no_place_is_drawn_before_the_machine_has_said_what_everything_comes_to(agent: TestAgent) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    commit = begun(agent, after(20))
    assert "place" not in str(commit.arguments)
    reply(agent, after(30), (commit, program_of(agent).commitment()))
    drawn = [job.arguments["place"] for job in questions_of(agent)]
    assert len(drawn) == PRODUCTS_SHOWN + GROUPS_SHOWN
    assert {gpu for gpu, *_ in drawn[PRODUCTS_SHOWN:]} == {0, 1}


def test_a_message_that_comes_twice_asks_nothing_twice(agent: TestAgent) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    commit = begun(agent, after(20))
    agent.report(after(21), jobs=[JobReport(job_id=commit.pk, state="running")])
    assert challenges_talk_on(now=after(22)) == 0
    reply(agent, after(30), (commit, program_of(agent).commitment()))
    asked = questions_of(agent)
    agent.report(after(31), jobs=[JobReport(job_id=commit.pk, state="done", result={"exit_code": 0})])
    assert questions_of(agent) == asked


def test_a_hint_that_was_lost_is_made_up_for_by_the_sweep(agent: TestAgent) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    agent.report(after(20), seen(task_of(agent), "running"))
    Job.objects.all().delete()
    assert challenges_talk_on(now=after(30)) == 1
    assert [job.arguments["question"] for job in questions_of(agent)] == ["ready"]


def test_a_guest_ends_the_talk_and_the_next_try_has_a_tag_of_its_own(agent: TestAgent) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    begun(agent, after(20))
    tag = challenge_of(agent).parameters["tag"]
    instance = instance_rent(
        client=market.user(dollars=50), offer_id=market.offer(agent).pk, request=market.wish(), now=after(25)
    )
    assert challenge_of(agent).state == "waiting"
    agent.obey(after(26))
    assert challenges_talk_on(now=after(27)) == 0
    instance_destroy(instance_id=instance.pk, actor=instance.client, now=after(40))
    agent.obey(after(41))
    agent.obey(after(42))
    assert challenge_of(agent).state == "running"
    assert challenge_of(agent).parameters["tag"] != tag
    assert answer(agent, after(90)).passed


def told_places(agent: TestAgent, now: datetime) -> Reference:
    """The machine has said what everything comes to, and knows which places it has to show."""
    assert challenges_ask_due(now=now) == 1
    commit = begun(agent, now)
    program = program_of(agent)
    reply(agent, now + timedelta(seconds=8), (commit, program.commitment()))
    assert {job.arguments["question"] for job in questions_of(agent)} == {"reveal"}
    return program


@pytest.mark.parametrize("reason", ["agent_error", "engine_down", "interrupted", "no_container"])
def test_whoever_knows_the_places_is_not_excused(agent: TestAgent, reason: str) -> None:
    told_places(agent, after(20))
    failed = [JobReport(job_id=job.pk, state="failed", reason=reason) for job in questions_of(agent)[:1]]
    agent.report(after(30), jobs=failed)
    assert challenges_settle(now=after(31)) == 1
    assert (ChallengeRun.objects.get().passed, codes(agent)) == (False, ["no_answer"])


def test_a_machine_that_breaks_off_when_it_knows_the_places_fails_in_the_end(agent: TestAgent) -> None:
    told_places(agent, after(20))
    for number in range(6):
        at = after(100 + number * 3 * 3600)
        if challenge_of(agent).state == "failed":
            break
        agent.report(at, seen(task_of(agent), "failed", reason="engine_down", message="Oh."))
        agent.obey(at)
        measurements_sweep(now=at + timedelta(hours=2))
    assert challenge_of(agent).state == "failed"
    assert challenges_settle(now=after(30 * 3600)) == 1
    assert ChallengeRun.objects.get().passed is False


@pytest.mark.parametrize("is_honest", [True, False])
def test_a_guest_that_comes_between_gets_nobody_other_places_or_another_answer(
    agent: TestAgent, is_honest: bool
) -> None:
    told_places(agent, after(20))
    before = challenge_of(agent).parameters
    instance = instance_rent(
        client=market.user(dollars=50), offer_id=market.offer(agent).pk, request=market.wish(), now=after(30)
    )
    agent.obey(after(31))
    instance_destroy(instance_id=instance.pk, actor=instance.client, now=after(40))
    agent.obey(after(41))
    agent.obey(after(42))
    assert challenge_of(agent).parameters == before
    run = answer(agent, after(90), error=0 if is_honest else 1, seconds=40)
    assert (run.passed, run.seconds) == (is_honest, 8.0)


def test_a_program_that_breaks_off_fails_with_its_last_words(agent: TestAgent) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    commit = begun(agent, after(20))
    reply(agent, after(30), (commit, "CUDA out of memory."), exit_code=EXIT_FAILED)
    assert (challenge_of(agent).state, challenge_of(agent).problem) == ("failed", "broke_off")
    assert challenges_settle(now=after(40)) == 1
    assert "CUDA out of memory." in VerificationFinding.objects.get().evidence


@pytest.mark.parametrize(("is_ours", "passed"), [(False, False), (True, None)])
def test_no_reply_in_time_is_a_failure_unless_the_marketplace_was_away(
    agent: TestAgent, is_ours: bool, passed: bool | None
) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    begun(agent, after(20))
    agent.report(after(400))
    jobs_sweep(now=after(400))
    if is_ours:
        own_outage_record(starts_at=after(60), ends_at=after(380), actor=None, note="", now=after(400))
    assert challenges_talk_on(now=after(401)) == 1
    assert (challenge_of(agent).state, challenge_of(agent).problem) == ("failed", "no_reply")
    assert challenges_settle(now=after(402)) == 1
    assert ChallengeRun.objects.get().passed is passed


@pytest.mark.parametrize(
    ("text", "exit_code"), [("{}", 0), ('{"version": 1}', 0), ("No module named ask", 1), ("", 127)]
)
def test_an_image_of_another_version_is_nobodys_failure(agent: TestAgent, text: str, exit_code: int) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    agent.report(after(20), seen(task_of(agent), "running"))
    (ready,) = questions_of(agent)
    reply(agent, after(21), (ready, text), exit_code=exit_code)
    assert (challenge_of(agent).state, challenge_of(agent).problem) == ("failed", "bad_program")
    assert "DLPERF_IMAGE" in challenge_of(agent).message
    assert challenges_settle(now=after(22)) == 1
    assert ChallengeRun.objects.get().passed is None


ENDS = [(EXIT_FAILED, False), (137, False), (0, None), (1, None), (2, None), (EXIT_UNSUPPORTED, None)]


@pytest.mark.parametrize(("exit_code", "passed"), ENDS)
def test_a_program_that_ends_by_itself_is_a_failure_unless_it_is_another_one(
    agent: TestAgent, exit_code: int, passed: bool | None
) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    agent.report(after(20), seen(task_of(agent), "exited", exit_code=exit_code, reason="exited", message="It ended."))
    agent.obey(after(20))
    assert challenges_settle(now=after(20)) == 1
    assert ChallengeRun.objects.get().passed is passed
    assert codes(agent) == (["no_answer"] if passed is False else [])


def test_a_machine_that_was_away_before_it_knew_anything_has_another_try(agent: TestAgent) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    begun(agent, after(20))
    jobs_sweep(now=after(400))
    agent.session_id, agent.seq = "another", 0
    agent.report(after(401))
    assert challenges_talk_on(now=after(402)) == 1
    measurement = challenge_of(agent)
    assert (measurement.state, measurement.problem, measurement.failures) == ("waiting", "offline", 1)


def test_what_was_asked_before_an_upgrade_is_judged_by_nobody(agent: TestAgent) -> None:
    told_places(agent, after(20))
    measurement = challenge_of(agent)
    measurement.parameters |= {"version": 1}
    measurement.save(update_fields=["parameters"])
    assert came_to_nothing(agent, "exited", after(40)).passed is None


def test_what_a_machine_sends_of_questions_that_nobody_asks_any_more_is_not_kept(agent: TestAgent) -> None:
    told_places(agent, after(20))
    first, *others = questions_of(agent)
    agent.report(after(30), jobs=[JobReport(job_id=first.pk, state="failed", reason="agent_error")])
    assert {Job.objects.get(pk=job.pk).state for job in others} == {"canceled"}
    with pytest.raises(HostingError) as refused:
        output_take(machine=agent.machine, job_id=others[0].pk, start=0, content=b"x", now=after(31))
    assert refused.value.code == "no_such_job"


def test_an_agent_that_can_not_ask_yet_is_no_failure(agent: TestAgent) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    agent.report(after(20), seen(task_of(agent), "running"))
    (ready,) = questions_of(agent)
    agent.report(after(21), jobs=[JobReport(job_id=ready.pk, state="failed", reason="unsupported")])
    assert challenge_of(agent).problem == "unsupported"
    assert challenges_settle(now=after(22)) == 1
    assert ChallengeRun.objects.get().passed is None


def test_nobody_is_judged_while_the_sweeper_that_notices_our_outages_is_away(agent: TestAgent) -> None:
    pulse_beat(now=after(5))
    assert challenges_ask_due(now=after(10)) == 1
    begun(agent, after(20))
    Measurement.objects.update(state="failed", problem="no_reply", finished_at=after(300))
    assert challenges_settle(now=after(310)) == 0
    pulse_beat(now=after(311))
    assert challenges_settle(now=after(312)) == 1
    assert ChallengeRun.objects.get().passed is None
