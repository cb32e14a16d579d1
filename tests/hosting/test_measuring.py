"""Benchmarks on machines: begun when nobody uses them, gone when a guest comes, kept, compared and put on offers."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from agent.protocol import DesiredTask
from hosting.errors import HostingError
from hosting.models import GpuClaim, Machine, MachineEvent, Measurement, Task
from hosting.services.idle_jobs import idle_job_set
from hosting.services.listing import listing_set
from hosting.services.measurement_reports import JUDGES
from hosting.services.measurement_sweeps import measurements_sweep
from hosting.services.measuring import ORDERS, benchmark_ask, benchmark_order
from hosting.services.offline import machine_mark_offline
from marketplace.models import Instance
from marketplace.services.clearing_sql import GIVES_WAY
from marketplace.services.lifecycle import instance_destroy
from marketplace.services.rent import instance_rent
from tests.plumbing import benchmarks, market
from tests.plumbing.benchmarks import run_to_the_end, seen, the_task
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def _image(settings: Settings) -> None:
    settings.DLPERF_IMAGE = benchmarks.IMAGE


@pytest.fixture
def agent() -> TestAgent:
    """A listed machine of four GPUs that are not simulated."""
    host = market.user()
    agent = TestAgent(market.register(host, market.inventory(4, simulated=False)))
    agent.report(T0)
    listing_set(machine_id=agent.machine.pk, host=host, terms=market.terms(), now=T0)
    return agent


def ask(agent: TestAgent, now: datetime = T0) -> Measurement:
    return benchmark_ask(machine_id=agent.machine.pk, host=agent.machine.host, now=now)


def latest(agent: TestAgent) -> Measurement:
    return Measurement.objects.filter(machine=agent.machine).latest("pk")


def state(agent: TestAgent) -> str:
    return latest(agent).state


def rent(agent: TestAgent, now: datetime, gpus: int = 1) -> Instance:
    offer_id = market.offer(agent, gpus).pk
    return instance_rent(client=market.user(dollars=50), offer_id=offer_id, request=market.wish(), now=now)


def wanted(agent: TestAgent, now: datetime, kind: str = "benchmark") -> list[DesiredTask]:
    """What the agent is told of tasks of this kind."""
    ids = set(Task.objects.filter(kind=kind).values_list("pk", flat=True))
    return [task for task in agent.report(now).tasks if task.task_id in ids]


def holders() -> set[str]:
    return set(GpuClaim.objects.filter(released_at=None).values_list("task__kind", flat=True))


def events(agent: TestAgent) -> list[str]:
    found = MachineEvent.objects.filter(machine=agent.machine, kind__startswith="benchmark").order_by("pk")
    return [kind.removeprefix("benchmark_") for kind in found.values_list("kind", flat=True)]


def measured(agent: TestAgent, score: float, now: datetime = T0) -> Measurement:
    """A benchmark from beginning to end."""
    ask(agent, now)
    return run_to_the_end(agent, now, benchmarks.line(score))


def test_the_whole_machine_runs_the_program(agent: TestAgent, settings: Settings) -> None:
    assert ask(agent).state == "running"
    (task,) = wanted(agent, T0)
    spec = task.spec
    assert (task.state, len(task.gpu_uuids), spec.image) == ("running", 4, benchmarks.IMAGE)
    assert (spec.mode, spec.entrypoint, spec.network, spec.ports) == ("args", "python3", "guests", [])
    assert spec.args[:-2] == ["-m", "dlperf.workload", "--mode", "full", "--device", "cuda", "--seconds", "300"]
    assert spec.args[-1].startswith(f"{settings.AGENT_URL}/api/agent/v1/speed/")
    assert (spec.cpu_cores, spec.ram_mb, spec.result_bytes) == (32.0, 131072, 65536)
    assert holders() == {"benchmark"}


def test_a_simulated_machine_runs_a_short_one_without_network() -> None:
    agent = TestAgent(market.register(market.user(), market.inventory(4)))
    agent.report(T0)
    ask(agent)
    spec = wanted(agent, T0)[0].spec
    assert (spec.network, spec.args[2:]) == ("none", ["--mode", "small", "--device", "cpu", "--seconds", "60"])


def test_the_operator_names_another_endpoint(agent: TestAgent, settings: Settings) -> None:
    settings.DLPERF_ENDPOINT = "https://speed.example.org/"
    ask(agent)
    (task,) = wanted(agent, T0)
    assert (task.spec.network, task.spec.args[-2:]) == ("guests", ["--endpoint", "https://speed.example.org/"])


def test_its_result_is_kept_and_its_score_is_on_the_offers_from_then_on(agent: TestAgent) -> None:
    known = market.offer(agent, 2)
    ask(agent)
    task = the_task(agent)
    agent.report(after(10), seen(task, "running"))
    agent.report(after(200), seen(task, "exited", exit_code=0, reason="exited", result=benchmarks.line(30.0)))
    done = latest(agent)
    assert (done.state, done.score, done.is_cpu, done.simulated) == ("succeeded", 30.0, False, False)
    assert (done.running_since, done.finished_at) == (after(10), after(200))
    assert done.result is not None
    assert done.result["devices"][0]["metrics"]["memory_bandwidth_gbps"]["median"] == 800.0
    offer = market.offer(agent, 2)
    assert (offer.dlperf, offer.dlperf_is_estimate) == (60.0, False)
    assert known.dlperf != 60.0
    assert [task.state for task in wanted(agent, after(201))] == ["removed"]
    agent.obey(after(202))
    assert holders() == set()
    assert events(agent) == ["asked", "running", "succeeded"]


def test_a_score_by_another_formula_is_not_shown_beside_others(agent: TestAgent) -> None:
    before = market.offer(agent).dlperf
    measured(agent, 30.0)
    machine = Machine.objects.get(pk=agent.machine.pk)
    assert (machine.measured_dlperf, market.offer(agent).dlperf) == (30.0, 30.0)
    assert machine.measured_scores is not None
    machine.measured_scores["formula"] -= 1
    machine.save(update_fields=["measured_scores"])
    agent.report(after(60), inventory=market.inventory(4, simulated=False, hostname="rig-2", gpus=gpus(agent)))
    assert (Machine.objects.get(pk=machine.pk).measured_dlperf, market.offer(agent).dlperf) == (None, before)


def test_a_report_told_twice_or_late_changes_nothing(agent: TestAgent) -> None:
    ask(agent)
    task = the_task(agent)
    ending = seen(task, "exited", exit_code=0, reason="exited", result=benchmarks.line(30.0))
    for second in (1, 2):
        agent.report(after(second), ending)
    agent.report(after(3), seen(task, "exited", exit_code=0, reason="exited", result=benchmarks.line(99.0)))
    agent.report(after(4), seen(task, "failed", reason="engine_error"))
    assert (state(agent), latest(agent).score) == ("succeeded", 30.0)
    assert events(agent) == ["asked", "running", "succeeded"]


def test_the_result_may_come_after_the_end(agent: TestAgent) -> None:
    ask(agent)
    task = the_task(agent)
    agent.report(after(1), seen(task, "exited", exit_code=0, reason="exited"))
    assert (state(agent), latest(agent).running_since) == ("running", after(1))
    agent.report(after(2), seen(task, "exited", exit_code=0, reason="exited", result=benchmarks.line()))
    assert state(agent) == "succeeded"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no result"),
        ("{", "can't be read"),
        ("42", "can't be read"),
        (benchmarks.line(cpu=True), "small run on cpu"),
        (benchmarks.line(gpus=3), "3 GPUs"),
    ],
    ids=["nothing", "cut off", "no object", "of a CPU", "of too few GPUs"],
)
def test_what_was_not_ordered_is_no_result(agent: TestAgent, text: str, said: str) -> None:
    ask(agent)
    failed = run_to_the_end(agent, after(1), text)
    assert (failed.state, failed.problem, failed.result) == ("failed", "bad_result", None)
    assert said in failed.message
    assert Machine.objects.get(pk=agent.machine.pk).measured_dlperf is None


def test_what_the_run_did_not_get_to_is_predicted_and_marked(agent: TestAgent) -> None:
    ask(agent)
    text = benchmarks.line(30.0).replace('"resnet50_train_mixed', '"resnet50_infer_fp32')
    done = run_to_the_end(agent, after(1), text)
    assert (done.state, done.usual_score) == ("succeeded", None)
    assert 25.0 < (done.score or 0.0) < 35.0
    assert market.offer(agent).dlperf_is_estimate


def test_a_program_that_breaks_off_has_failed(agent: TestAgent) -> None:
    ask(agent)
    agent.report(after(1), seen(the_task(agent), "exited", exit_code=2, reason="exited", message="Code 2.", result=""))
    assert (state(agent), latest(agent).problem) == ("failed", "exited")


def test_a_guest_gets_its_gpus_at_once_and_the_benchmark_begins_anew_when_all_left(agent: TestAgent) -> None:
    ask(agent)
    agent.report(after(1), seen(the_task(agent), "running"))
    instance = rent(agent, after(2))
    interrupted = latest(agent)
    assert (interrupted.state, interrupted.problem, interrupted.interruptions) == ("waiting", "guest", 1)
    assert [task.state for task in wanted(agent, after(2))] == ["removed"]
    agent.obey(after(3))  # the container is killed; now the instance may start
    agent.obey(after(4))
    instance.refresh_from_db()
    assert (instance.state, holders()) == ("running", {"instance"})
    measurements_sweep(now=after(100))
    assert state(agent) == "waiting"
    instance_destroy(instance_id=instance.pk, actor=instance.client, now=after(200))
    assert state(agent) == "waiting"
    agent.obey(after(201))
    assert (state(agent), holders()) == ("running", {"benchmark"})
    again = run_to_the_end(agent, after(300), benchmarks.line(21.0))
    assert (again.state, again.score, again.interruptions) == ("succeeded", 21.0, 1)


def test_a_result_of_an_interrupted_run_is_not_taken(agent: TestAgent) -> None:
    ask(agent)
    task = the_task(agent)
    agent.report(after(1), seen(task, "running"))
    rent(agent, after(2))
    agent.report(after(3), seen(task, "exited", exit_code=0, reason="exited", result=benchmarks.line(99.0)))
    assert (state(agent), latest(agent).score) == ("waiting", None)


def test_it_waits_while_anybody_uses_the_machine(agent: TestAgent) -> None:
    rent(agent, T0)
    agent.obey(after(1))
    assert ask(agent, after(2)).state == "waiting"
    measurements_sweep(now=after(60))
    assert (state(agent), wanted(agent, after(60))) == ("waiting", [])


def test_the_idle_job_makes_way_and_comes_back(agent: TestAgent) -> None:
    job: dict[str, Any] = {"image": "ubuntu", "args": ["bash"], "price_micros_per_gpu_hour": 1000}
    idle_job_set(machine_id=agent.machine.pk, host=agent.machine.host, now=T0, **job)
    agent.obey(after(1))
    assert holders() == {"idle_job"}
    assert ask(agent, after(2)).state == "waiting"
    assert {task.state for task in wanted(agent, after(2), "idle_job")} == {"stopped"}
    agent.obey(after(3))
    assert (state(agent), holders()) == ("running", {"benchmark"})
    assert run_to_the_end(agent, after(4), benchmarks.line()).state == "succeeded"
    agent.obey(after(5))
    assert holders() == {"idle_job"}


def test_asking_again_while_one_is_open_is_the_same_one(agent: TestAgent) -> None:
    first = ask(agent)
    assert ask(agent, after(5)) == first
    assert Measurement.objects.count() == 1


def test_what_the_machine_fails_is_tried_again_after_growing_pauses_then_given_up(agent: TestAgent) -> None:
    ask(agent)
    now = T0
    for tries in range(1, 6):
        agent.report(now, seen(the_task(agent), "failed", reason="image_pull_failed", message="No registry."))
        agent.obey(now)
        tried = latest(agent)
        assert (tried.failures, tried.problem, tried.message) == (tries, "image_pull_failed", "No registry.")
        now = max(now, tried.not_before)
        if tries < 5:
            assert tried.state == "waiting"
            measurements_sweep(now=now - timedelta(seconds=1))
            assert state(agent) == "waiting"
            measurements_sweep(now=now)
            assert state(agent) == "running"
    assert state(agent) == "failed"
    measurements_sweep(now=now + timedelta(hours=1))
    assert Measurement.objects.count() == 1
    measurements_sweep(now=now + timedelta(days=1))
    assert (Measurement.objects.count(), latest(agent).reason) == (2, "first")


def test_who_asks_again_during_a_pause_wants_it_now(agent: TestAgent) -> None:
    ask(agent)
    agent.report(after(1), seen(the_task(agent), "failed", reason="disk_full"))
    agent.obey(after(1))
    assert state(agent) == "waiting"
    assert ask(agent, after(2)).state == "running"


def test_a_run_that_hangs_is_ended_by_the_servers_clock(agent: TestAgent) -> None:
    ask(agent)
    agent.report(after(5), seen(the_task(agent), "running"))
    measurements_sweep(now=after(605))
    assert state(agent) == "running"
    assert measurements_sweep(now=after(606)) == 1
    assert (state(agent), latest(agent).problem) == ("failed", "run_timeout")
    assert [task.state for task in wanted(agent, after(606))] == ["removed"]


def test_a_machine_that_went_offline_gets_another_try_when_it_is_back(agent: TestAgent) -> None:
    ask(agent)
    agent.report(after(5), seen(the_task(agent), "running"))
    machine_mark_offline(machine_id=agent.machine.pk, last_seen_at=after(5), now=after(70))
    measurements_sweep(now=after(606))
    assert (state(agent), latest(agent).problem) == ("waiting", "offline")
    agent.obey(after(900))
    measurements_sweep(now=after(901))
    assert (state(agent), latest(agent).failures) == ("running", 1)


def test_a_result_that_comes_after_a_short_silence_is_taken(agent: TestAgent) -> None:
    ask(agent)
    task = the_task(agent)
    agent.report(after(5), seen(task, "running"))
    machine_mark_offline(machine_id=agent.machine.pk, last_seen_at=after(5), now=after(70))
    agent.report(after(400), seen(task, "exited", exit_code=0, reason="exited", result=benchmarks.line(22.0)))
    assert (state(agent), latest(agent).score) == ("succeeded", 22.0)


def test_machines_are_measured_by_themselves_when_due(agent: TestAgent) -> None:
    simulated = market.listed_machine()
    assert measurements_sweep(now=after(10)) == 1
    assert (latest(agent).reason, state(agent)) == ("first", "running")
    assert not Measurement.objects.filter(machine=simulated.machine).exists()
    run_to_the_end(agent, after(20), benchmarks.line())
    assert measurements_sweep(now=after(3600)) == 0
    facts = market.inventory(4, simulated=False, driver_version="560.1", gpus=gpus(agent))
    agent.report(after(4000), inventory=facts)
    assert measurements_sweep(now=after(4010)) == 1
    assert latest(agent).reason == "hardware"
    run_to_the_end(agent, after(4020), benchmarks.line())
    assert measurements_sweep(now=after(4030)) == 0
    agent.report(after(4020 + 7 * 86400))
    assert measurements_sweep(now=after(4020 + 7 * 86400)) == 1
    assert latest(agent).reason == "weekly"


def gpus(agent: TestAgent) -> list[Any]:
    """The machine's GPUs as its agent would tell them."""
    return [market.gpu(one.index, uuid=one.uuid) for one in agent.machine.gpus.order_by("index")]


def test_each_kind_has_an_order_and_a_judge_and_gives_way() -> None:
    kinds = set(Measurement.Kind.values)
    assert set(ORDERS) == set(JUDGES) == kinds
    assert kinds <= set(GIVES_WAY) & set(Task.Kind.values)


def test_without_a_program_nobody_is_measured(agent: TestAgent, settings: Settings) -> None:
    settings.DLPERF_IMAGE = ""
    with pytest.raises(HostingError) as refused:
        ask(agent)
    assert refused.value.code == "no_benchmark"
    assert measurements_sweep(now=after(10)) == 0
    assert not Measurement.objects.exists()


def test_only_the_host_asks_for_its_machine(agent: TestAgent) -> None:
    with pytest.raises(HostingError) as refused:
        benchmark_ask(machine_id=agent.machine.pk, host=market.user(), now=T0)
    assert (refused.value.code, refused.value.status) == ("no_such_machine", 404)
    assert not Measurement.objects.exists()
    staff = market.user()
    asked = benchmark_order(machine_id=agent.machine.pk, reason="staff", staff=staff, now=T0)
    assert (asked.asked_by, asked.reason) == (staff, "staff")


def test_a_drop_against_the_machines_own_history_is_told(agent: TestAgent) -> None:
    for day, score in enumerate((20.0, 21.0, 20.5)):
        done = measured(agent, score, after(day * 86400))
        assert not done.is_drop
    dropped = measured(agent, 18.0, after(4 * 86400))
    assert (dropped.usual_score, dropped.is_drop) == (20.5, True)
    assert dropped.score_change == pytest.approx(-2.5 / 20.5)
    told = MachineEvent.objects.get(machine=agent.machine, kind="benchmark_drop")
    assert told.message == "DLPerf 18.0 per GPU is 12% less than this machine's usual 20.5."
    assert measured(agent, 20.0, after(5 * 86400)).is_drop is False


def test_other_gpus_have_a_history_of_their_own_and_no_score_yet(agent: TestAgent) -> None:
    measured(agent, 30.0)
    agent.report(after(10), inventory=market.inventory(2, simulated=False))
    assert Machine.objects.get(pk=agent.machine.pk).measured_dlperf is None
    ask(agent, after(20))
    done = run_to_the_end(agent, after(30), benchmarks.line(10.0, gpus=2))
    assert (done.state, done.usual_score, done.is_drop) == ("succeeded", None, False)


def test_simulated_gpus_run_briefly_on_the_cpu_and_keep_the_catalogues_score() -> None:
    agent = market.listed_machine()
    before = market.offer(agent).dlperf
    ask(agent)
    (task,) = wanted(agent, T0)
    assert task.spec.args == ["-m", "dlperf.workload", "--mode", "small", "--device", "cpu", "--seconds", "60"]
    done = run_to_the_end(agent, after(5), benchmarks.line(0.5, cpu=True))
    assert (done.state, done.score, done.is_cpu, done.simulated) == ("succeeded", 0.5, True, True)
    assert "simulated" in done.message
    ask(agent, after(10))
    slower = run_to_the_end(agent, after(15), benchmarks.line(0.1, cpu=True))
    assert (slower.score, slower.usual_score, slower.is_drop) == (0.1, None, False)
    assert (market.offer(agent).dlperf, Machine.objects.get(pk=agent.machine.pk).measured_dlperf) == (before, None)
