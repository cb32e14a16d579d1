"""Scores that are believed and scores that are not: what becomes of them on the machine, its offers and its history."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from dlperf.catalogue import best_scores
from dlperf.domain.result import encode_result
from hosting.models import Machine, MachineEvent, Measurement
from hosting.services.challenge_sweeps import histories_of
from hosting.services.measuring import benchmark_ask
from marketplace.models import User
from tests.hosting.challenging import machine_of
from tests.plumbing import benchmarks, market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def measured(agent: TestAgent, score: float, now: datetime = T0, *, text: str = "") -> Measurement:
    """A benchmark from beginning to end."""
    benchmark_ask(machine_id=agent.machine.pk, host=agent.machine.host, now=now)
    return benchmarks.run_to_the_end(agent, now, text or benchmarks.line(score, gpus=2))


def test_a_score_that_no_such_gpu_can_reach_is_not_taken_and_has_the_machine_challenged_more_often(
    agent: TestAgent,
) -> None:
    before = market.offer(agent).dlperf
    done = measured(agent, 60.0)  # an RTX 3090 has 24.9 by what is published
    assert (done.state, done.score, done.is_implausible) == ("succeeded", 60.0, True)
    assert "It is not believed, and offers don't show it: GPU 1 is said to reach" in done.message
    assert "GPUs of this model can't reach more than 754.7." in done.message
    assert (market.offer(agent).dlperf, market.offer(agent).dlperf_source) == (before, "published")
    assert Machine.objects.get(pk=agent.machine.pk).measured_dlperf is None
    told = MachineEvent.objects.get(machine=agent.machine, kind="benchmark_implausible")
    assert told.message in done.message
    (history,) = histories_of([agent.machine.pk], after(60)).values()
    assert history.anomalies == 1


def test_a_score_that_is_not_believed_leaves_what_was_measured_before_and_is_no_part_of_the_history(
    agent: TestAgent,
) -> None:
    measured(agent, 26.0)
    untrue = measured(agent, 60.0, after(86400))
    assert (untrue.usual_score, untrue.score_change, untrue.is_drop) == (None, None, False)
    assert (market.offer(agent).dlperf, market.offer(agent).dlperf_is_estimate) == (26.0, False)
    again = measured(agent, 25.0, after(2 * 86400))
    assert (again.is_implausible, again.usual_score, again.is_drop) == (False, 26.0, False)
    assert (market.offer(agent).dlperf, market.offer(agent).dlperf_source) == (25.0, "measured")


def test_one_figure_that_cannot_be_is_enough(agent: TestAgent) -> None:
    text = benchmarks.line(24.0, gpus=2).replace("memory_bandwidth_gbps", "gemm_fp16_tflops")
    done = measured(agent, 24.0, text=text)
    assert done.is_implausible
    assert "800 TFLOPS (matrix products, fp16)" in done.message


def test_far_less_than_is_published_is_shown_as_measured(agent: TestAgent) -> None:
    done = measured(agent, 9.0)
    assert (done.is_implausible, done.message) == (False, "DLPerf 9 per GPU.")
    assert (market.offer(agent).dlperf, market.offer(agent).dlperf_is_estimate) == (9.0, False)


def of_an_unknown_model(host: User | None = None, **facts: Any) -> TestAgent:
    """A listed machine, by default of another host, of two GPUs that the catalogue does not have."""
    gpus = [market.gpu(index, model="RTX 9090", **facts) for index in range(2)]
    return machine_of(host, gpus=gpus)


@pytest.mark.usefixtures("tiny_challenges")
def test_a_model_that_nobody_knows_is_an_estimate_until_machines_of_three_hosts_agree() -> None:
    agents = [of_an_unknown_model(fp32_tflops=900.0, compute_capability="14.0") for _ in range(3)]
    best = best_scores().balanced.value
    for agent, score in zip(agents, (250.0, 260.0, 255.0), strict=True):
        done = measured(agent, score)
        last = agent is agents[2]
        assert (done.is_implausible, market.offer(agent).dlperf) == (False, score if last else best)
        assert market.offer(agent).dlperf_is_estimate is not last
        assert ("until machines of 2 other hosts come to the same within 15%" in done.message) is not last
    measured(agents[0], 250.0, after(86400))
    assert (market.offer(agents[0]).dlperf, market.offer(agents[0]).dlperf_is_estimate) == (250.0, False)


@pytest.mark.usefixtures("tiny_challenges")
def test_machines_of_one_host_agree_with_nobody() -> None:
    host = market.user()
    for _ in range(3):
        agent = of_an_unknown_model(host, fp32_tflops=900.0, compute_capability="14.0")
        measured(agent, 250.0)
        assert market.offer(agent).dlperf_is_estimate


@pytest.mark.usefixtures("tiny_challenges")
def test_a_model_that_the_catalogue_lacks_is_believed_within_its_specifications() -> None:
    agent = of_an_unknown_model(fp32_tflops=40.0, memory_bandwidth_gbps=1000.0)
    assert not measured(agent, 30.0).is_implausible
    assert (market.offer(agent).dlperf, market.offer(agent).dlperf_is_estimate) == (30.0, False)
    assert measured(agent, 60.0, after(86400)).is_implausible
    assert market.offer(agent).dlperf == 30.0


def test_a_gpu_without_any_figure_leaves_the_machine_as_it_was(agent: TestAgent) -> None:
    before = market.offer(agent).dlperf
    found = benchmarks.result(24.0, gpus=2)
    bare = msgspec.structs.replace(found.devices[1], metrics={}, skipped={"gemm_fp16_tflops": "The memory is short."})
    text = encode_result(msgspec.structs.replace(found, devices=[found.devices[0], bare])).decode()
    done = measured(agent, 24.0, text=text)
    assert (done.state, done.score) == ("succeeded", None)
    assert done.message == "No DLPerf: nothing could be measured on GPU 1 (The memory is short)."
    assert market.offer(agent).dlperf == before
