"""Challenges on machines: asked when due, judged outside of locks, and what follows for machine, host and staff."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import DjangoAssertNumQueries, Settings

from dlperf.challenge.answers import common_answer, decode_commitment
from hosting.domain.contradictions import SAME_HARDWARE
from hosting.errors import HostingError
from hosting.models import (
    ChallengeQuestion,
    ChallengeRun,
    JobChunk,
    Listing,
    MachineEvent,
    Measurement,
    Task,
    VerificationCase,
    VerificationFinding,
)
from hosting.services.challenge_questions import question_store
from hosting.services.challenge_settling import challenge_settle, challenges_settle
from hosting.services.challenge_sweeps import challenge_ask, challenges_ask_due
from hosting.services.listing import listing_set
from hosting.services.measuring import benchmark_ask
from hosting.services.verification_cases import case_appeal, case_decide
from marketplace.models import User
from marketplace.services.rent import instance_rent
from tests.dlperf.challenges import TAG, TINY, Reference
from tests.hosting.challenging import (
    after,
    answer,
    begun,
    challenge_of,
    challenged,
    codes,
    failed_twice,
    finished,
    machine,
    machine_of,
    nonce_of,
    program_of,
    questions_of,
    reply,
    task_of,
)
from tests.plumbing import benchmarks, market
from tests.plumbing.benchmarks import seen
from tests.plumbing.market import T0, TestAgent

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("tiny_challenges")]


@pytest.fixture
def staff() -> User:
    return User.objects.create_superuser("staff@example.com", "pass")


def test_a_machine_is_challenged_at_listing_and_verified_when_it_passes(agent: TestAgent) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    asked = challenge_of(agent)
    assert (asked.state, asked.reason) == ("running", "listing")
    spec = task_of(agent).spec
    assert (spec["network"], spec["entrypoint"], spec["args"][:2]) == ("none", "python3", ["-m", "dlperf.challenge"])
    assert challenges_ask_due(now=after(20)) == 0
    run = answer(agent, after(40))
    assert (run.passed, run.seconds, codes(agent)) == (True, 8.0, [])
    assert not JobChunk.objects.exists()
    assert (machine(agent).verification, market.offer(agent).verification) == ("verified", "verified")
    told = MachineEvent.objects.get(machine=agent.machine, kind="performance_check")
    assert told.details == {"passed": True, "challenge": run.pk}
    assert challenges_ask_due(now=after(3600)) == 0
    agent.report(after(36 * 3600 + 41))
    assert challenges_ask_due(now=after(36 * 3600 + 41)) == 1
    assert challenge_of(agent).reason == "daily"


def test_a_machine_that_lacks_something_passes_and_is_not_verified() -> None:
    slow = machine_of(inet_up_mbps=1.0)
    assert challenged(slow, after(10)).passed
    assert (machine(slow).verification, codes(slow)) == ("unverified", [])


def test_a_sweep_asks_no_more_of_the_database_for_more_machines(
    agent: TestAgent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    challenged(agent, after(10))
    with django_assert_num_queries(7):
        assert challenges_ask_due(now=after(60)) == 0
    others = [machine_of(), machine_of()]
    assert challenges_ask_due(now=after(70)) == 2
    assert all(answer(other, after(90)).passed for other in others)
    with django_assert_num_queries(7):
        assert challenges_ask_due(now=after(100)) == 0


def test_a_challenge_is_judged_once(agent: TestAgent) -> None:
    run = challenged(agent, after(10))
    assert challenges_settle(now=after(50)) == 0
    assert not challenge_settle(measurement=challenge_of(agent), now=after(50))
    assert ChallengeRun.objects.get() == run


def test_simulated_gpus_are_challenged_on_request_only_and_never_verified() -> None:
    simulated = market.listed_machine(gpus=2)
    assert challenges_ask_due(now=after(10)) == 0
    challenge_ask(machine_id=simulated.machine.pk, host=simulated.machine.host, now=after(10))
    run = answer(simulated, after(20))
    assert (run.passed, machine(simulated).verification) == (True, "unverified")
    assert not MachineEvent.objects.filter(kind="performance_check").exists()


def test_no_challenge_runs_inside_a_rental(agent: TestAgent) -> None:
    client = market.user(dollars=50)
    instance_rent(client=client, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    agent.obey(after(5))
    assert challenges_ask_due(now=after(10)) == 1
    assert challenge_of(agent).state == "waiting"


def test_a_benchmark_and_a_challenge_take_turns(agent: TestAgent) -> None:
    benchmark_ask(machine_id=agent.machine.pk, host=agent.machine.host, now=after(1))
    challenge_ask(machine_id=agent.machine.pk, host=agent.machine.host, now=after(2))
    states = dict(Measurement.objects.values_list("kind", "state"))
    assert states == {"benchmark": "running", "challenge": "waiting"}
    task = Task.objects.get(kind="benchmark")
    agent.report(after(3), seen(task, "exited", exit_code=0, reason="exited", result=benchmarks.line(30.0, gpus=2)))
    agent.obey(after(4))
    states = dict(Measurement.objects.values_list("kind", "state"))
    assert states == {"benchmark": "succeeded", "challenge": "running"}
    assert answer(agent, after(60)).passed


def test_one_failure_is_followed_by_a_retest_and_nothing_else(agent: TestAgent) -> None:
    run = challenged(agent, after(60), error=1)
    assert (run.passed, codes(agent), machine(agent).verification) == (False, ["wrong_answer"], "unverified")
    assert Listing.objects.get().active
    assert challenged(agent, after(120)).passed
    assert Measurement.objects.latest("pk").reason == "retest"
    assert machine(agent).verification == "verified"


def test_two_failures_unlist_the_machine_and_show_the_evidence(agent: TestAgent) -> None:
    challenged(agent, after(10))
    agent.report(after(50 * 3600))
    challenged(agent, after(50 * 3600), error=1)
    assert machine(agent).verification == "verified"
    challenged(agent, after(51 * 3600), error=1)
    case = VerificationCase.objects.get()
    assert (machine(agent).verification, Listing.objects.get().active) == ("deverified", False)
    assert (case.state, case.window_start) == ("open", after(40))
    assert case.evidence.count("The product is wrong in part 0, number 0, of step") == 2
    assert list(ChallengeRun.objects.order_by("pk").values_list("passed", flat=True)) == [True, False, False]
    with pytest.raises(HostingError) as refused:
        listing_set(machine_id=agent.machine.pk, host=agent.machine.host, terms=market.terms(), now=after(52 * 3600))
    assert refused.value.code == "verification_failed"


def test_the_host_appeals_and_staff_overturn(agent: TestAgent, staff: User) -> None:
    case = failed_twice(agent)
    host = agent.machine.host
    for who, text, code in ((market.user(), "No.", "no_such_case"), (host, " ", "empty_appeal")):
        with pytest.raises(HostingError) as refused:
            case_appeal(case_id=case.pk, host=who, text=text, now=after(200))
        assert refused.value.code == code
    case_appeal(case_id=case.pk, host=host, text="A riser was loose.", now=after(200))
    with pytest.raises(HostingError):
        case_appeal(case_id=case.pk, host=host, text="Again.", now=after(201))
    with pytest.raises(HostingError) as refused:
        case_decide(case_id=case.pk, staff=host, uphold=False, now=after(210))
    assert refused.value.code == "not_staff"
    case_decide(case_id=case.pk, staff=staff, uphold=False, now=after(210))
    case.refresh_from_db()
    assert (case.state, case.appeal, case.decided_by) == ("overturned", "A riser was loose.", staff)
    assert machine(agent).verification == "unverified"
    listing_set(machine_id=agent.machine.pk, host=host, terms=market.terms(), now=after(220))
    challenged(agent, after(230), error=1)
    assert machine(agent).verification == "unverified"
    with pytest.raises(HostingError) as refused:
        case_decide(case_id=case.pk, staff=staff, uphold=True, now=after(240))
    assert refused.value.code == "case_closed"


def test_upheld_it_stays_deverified(agent: TestAgent, staff: User) -> None:
    case = failed_twice(agent)
    case_decide(case_id=case.pk, staff=staff, uphold=True, now=after(300))
    assert machine(agent).verification == "deverified"
    listing_set(machine_id=agent.machine.pk, host=agent.machine.host, terms=market.terms(), now=after(310))
    challenged(agent, after(320))
    assert (machine(agent).verification, market.offer(agent).verification) == ("deverified", "deverified")


def test_a_replayed_answer_fails(agent: TestAgent) -> None:
    challenged(agent, after(10))
    old = program_of(agent)
    agent.report(after(40 * 3600))
    run = challenged(agent, after(40 * 3600), lambda _agent: old)
    finding = VerificationFinding.objects.get(run=run)
    assert (run.passed, finding.code) == (False, "wrong_answer")
    assert "another question" in finding.evidence


def test_another_machines_answer_to_the_same_question_fails() -> None:
    """Whoever has several accounts can't compute once for all of them."""
    first, second = machine_of(), machine_of()
    assert challenges_ask_due(now=after(10)) == 2
    assert answer(first, after(40)).passed
    theirs = program_of(first)
    run = answer(second, after(50), lambda _agent: theirs)
    assert nonce_of(first) == nonce_of(second)
    assert (run.passed, codes(second)) == (False, ["wrong_answer"])


def test_one_gpu_that_answers_for_two_fails(agent: TestAgent) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    run = answer(agent, after(40), partial(program_of, gpus=1))
    assert not run.passed
    assert "about 1 GPUs; the machine says that it has 2" in VerificationFinding.objects.get().evidence


def test_what_may_be_our_fault_is_no_failure(agent: TestAgent) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    Measurement.objects.update(state="failed", problem="image_pull_failed", finished_at=after(20))
    assert challenges_settle(now=after(20)) == 1
    assert (ChallengeRun.objects.get().passed, codes(agent)) == (None, [])
    assert not MachineEvent.objects.filter(kind="performance_check").exists()
    assert challenges_ask_due(now=after(3600)) == 0
    assert challenges_ask_due(now=after(7 * 3600)) == 1


def test_a_check_in_shadow_is_recorded_without_consequences(agent: TestAgent, settings: Settings) -> None:
    settings.VERIFICATION_SHADOW = ["wrong_answer"]
    run = challenged(agent, after(10), error=1)
    assert (run.passed, VerificationFinding.objects.get().shadow) == (True, True)
    assert machine(agent).verification == "verified"


def test_a_known_answer_is_asked_for_once_and_compared(agent: TestAgent) -> None:
    nonce = "ab" * 16
    right = common_answer(decode_commitment(Reference(bytes.fromhex(nonce), TAG, 2).commitment()).gpus)
    question_store(nonce=nonce, plan=TINY, answer=["another", right[1]])
    with pytest.raises(ValueError, match="known already"):
        question_store(nonce=nonce, plan=TINY, answer=right)
    run = challenged(agent, after(10))
    assert nonce_of(agent).hex() == nonce
    assert (run.passed, codes(agent)) == (False, ["wrong_answer"])
    assert "GPU 0 are others than the answer that was known" in VerificationFinding.objects.get().evidence
    assert challenged(agent, after(60)).passed
    assert nonce_of(agent).hex() != nonce


def test_machines_of_three_hosts_get_one_question_and_whoever_is_alone_is_noted() -> None:
    agents = [machine_of() for _ in range(4)]
    again = machine_of(agents[0].machine.host, hostname="again")
    assert challenges_ask_due(now=after(10)) == 5
    commits = [begun(one, after(11)) for one in [*agents, again]]
    questions = [challenge_of(one).parameters["question"] for one in [*agents, again]]
    assert len(set(questions[:3])) == 1
    assert questions[3] == questions[4] != questions[0]
    assert finished(agents[0], commits[0], after(20)).passed
    liar = finished(agents[1], commits[1], after(20))
    ChallengeRun.objects.filter(pk=liar.pk).update(answer=["of another kind", "of hardware"])
    assert machine(agents[1]).verification == "verified"
    assert finished(agents[2], commits[2], after(20)).passed
    liar.refresh_from_db()
    assert (liar.passed, codes(agents[1]), machine(agents[1]).verification) == (True, ["outvoted"], "verified")
    assert VerificationFinding.objects.get().shadow
    assert codes(agents[0]) == codes(agents[2]) == []


def test_a_gpu_of_another_machine_is_refused_and_its_twin_is_found(agent: TestAgent) -> None:
    uuids = [gpu.uuid for gpu in agent.machine.gpus.all()]
    stolen = [market.gpu(index, uuid=uuid) for index, uuid in enumerate(uuids)]
    with pytest.raises(HostingError) as refused:
        market.register(market.user(), market.inventory(2, gpus=stolen, simulated=False))
    assert refused.value.code == "gpu_already_registered"
    twin = machine_of(hostname=machine(agent).hostname)
    assert challenges_ask_due(now=after(10)) == 2
    assert answer(twin, after(20)).passed
    assert codes(twin) == [SAME_HARDWARE]
    assert VerificationFinding.objects.get().shadow


def test_facts_that_contradict_each_other_fail_the_challenge() -> None:
    liar = machine_of(driver_version="470.1")
    assert not challenged(liar, after(10)).passed
    assert codes(liar) == ["driver_facts"]


@pytest.mark.parametrize("text", ["", "{}", "no JSON", '{"version": 1}', "\x00"])
def test_words_that_are_no_answer_are_a_failure_told_in_words(agent: TestAgent, text: str) -> None:
    assert challenges_ask_due(now=after(10)) == 1
    commit = begun(agent, after(20))
    reply(agent, after(30), (commit, text))
    reply(agent, after(40), *[(job, text) for job in questions_of(agent)])
    assert challenges_settle(now=after(50)) == 1
    assert not ChallengeRun.objects.get().passed
    assert "The answer can't be read" in VerificationFinding.objects.get().evidence


def test_without_a_program_nobody_is_challenged(agent: TestAgent, settings: Settings) -> None:
    settings.DLPERF_IMAGE = ""
    assert challenges_ask_due(now=after(10)) == 0
    with pytest.raises(HostingError) as refused:
        challenge_ask(machine_id=agent.machine.pk, host=agent.machine.host, now=after(10))
    assert refused.value.code == "no_benchmark"


def test_an_answer_of_a_trusted_machine_is_looked_at_before_it_is_kept(tmp_path: Path) -> None:
    file, plan = tmp_path / "answer.json", json.dumps(asdict(TINY))
    told = Reference(b"\x01\x02", b"", 2).commitment()
    file.write_text(told + "\n")
    with pytest.raises(CommandError, match="another question"):
        call_command("known_answer", "0103", plan, str(file))
    call_command("known_answer", "0102", plan, str(file))
    kept = ChallengeQuestion.objects.get()
    assert (kept.nonce, kept.gpus, kept.asked_at) == ("0102", 2, None)
    assert kept.known_answer == common_answer(decode_commitment(told).gpus)
