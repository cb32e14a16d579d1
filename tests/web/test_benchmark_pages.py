"""Benchmarks on the machine's page, the page of one run, and staff's view."""

import json
import re
from datetime import timedelta
from typing import get_args

import msgspec
import pytest
import time_machine
from django.test import Client
from pytest_django.fixtures import Settings

from dlperf.domain.result import DeviceMetric, HostMetric, NetworkMetric, Scaling
from hosting.models import Measurement
from hosting.services.listing import listing_set
from hosting.services.measuring import benchmark_ask
from hosting.web.benchmark_words import DEVICE, HOST, NETWORK, figure, groups
from marketplace.models import User
from marketplace.services.rent import instance_rent
from tests.plumbing import benchmarks, market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import text

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _image(settings: Settings) -> None:
    settings.DLPERF_IMAGE = benchmarks.IMAGE


@pytest.fixture
def agent() -> TestAgent:
    """A machine of four GPUs that are not simulated."""
    machine = TestAgent(market.register(market.user("host@example.com"), market.inventory(4, simulated=False)))
    machine.report(T0)
    return machine


def page(agent: TestAgent) -> str:
    return f"/host/machines/{agent.machine.pk}/"


def run_once(agent: TestAgent, score: float, days: int = 0) -> Measurement:
    now = T0 + timedelta(days=days)
    benchmark_ask(machine_id=agent.machine.pk, host=agent.machine.host, now=now)
    return benchmarks.run_to_the_end(agent, now, benchmarks.line(score))


def test_a_host_runs_the_benchmark_and_sees_how_it_stands(host_web: Client, agent: TestAgent) -> None:
    assert "No runs yet" in text(host_web.get(page(agent)))
    response = host_web.post(f"{page(agent)}benchmark/", follow=True)
    assert response.redirect_chain == [(page(agent), 302)]
    shown = text(response)
    for fact in ("The benchmark begins", "Running since 2 Mar 12:00 UTC", "Free, benchmark", "asked for by the host"):
        assert fact in shown, fact
    assert "Run benchmark" not in shown
    benchmarks.run_to_the_end(agent, T0, benchmarks.line(31.0))
    shown = text(host_web.get(page(agent)))
    assert "DLPerf 31.0 per GPU, measured on this machine" in shown
    assert "Run benchmark" in shown


def test_while_a_guest_is_there_it_waits(host_web: Client, agent: TestAgent, renter: User) -> None:
    listing_set(machine_id=agent.machine.pk, host=agent.machine.host, terms=market.terms(), now=T0)
    instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    shown = text(host_web.post(f"{page(agent)}benchmark/", follow=True))
    assert "as soon as the machine is online and nobody uses it" in shown
    assert "Waiting begins by itself" in shown


def test_history_and_chart_with_a_drop_flagged(host_web: Client, agent: TestAgent) -> None:
    for days, score in enumerate((30.0, 31.0, 26.0)):
        run_once(agent, score, days)
    with time_machine.travel(T0 + timedelta(days=3), tick=False):
        response = host_web.get(page(agent))
    shown = text(response)
    assert "slower than usual (-15%): DLPerf 26.0 per GPU, where the median of earlier runs is 30.5" in shown
    assert re.search(r"26\.0 -15% Slower than usual .* 31\.0 \+3% Done .* 30\.0 \N{EN DASH} Done", shown)
    assert "benchmark drop" in shown.lower()
    data = re.search(r'<script id="score-data" type="application/json">(.*?)</script>', response.content.decode())
    assert data is not None
    day = 86400
    first = int(T0.timestamp())
    assert json.loads(data[1]) == {"instants": [first, first + day, first + 2 * day], "scores": [30.0, 31.0, 26.0]}
    run_once(agent, 30.0, 4)
    with time_machine.travel(T0 + timedelta(days=5), tick=False):
        assert "where the median of earlier runs" not in text(host_web.get(page(agent)))


def test_a_run_that_is_not_believed_says_why_and_is_not_in_the_chart(host_web: Client, agent: TestAgent) -> None:
    run_once(agent, 26.0)
    untrue = run_once(agent, 60.0, 1)
    shown = text(host_web.get(page(agent)))
    assert "The last benchmark is not believed." in shown
    assert "GPUs of this model can't reach more than" in shown
    assert '"scores": [26.0]' in host_web.get(page(agent)).content.decode()
    assert "benchmark implausible" in shown.lower()
    assert "Not believed" in text(host_web.get(f"{page(agent)}benchmarks/{untrue.pk}/"))


def test_a_score_that_nothing_confirms_is_shown_as_an_estimate(client: Client) -> None:
    unknown = [market.gpu(index, model="RTX 9090", compute_capability="14.0") for index in range(4)]
    agent = TestAgent(market.register(market.user(), market.inventory(4, simulated=False, gpus=unknown)))
    agent.report(T0)
    client.force_login(agent.machine.host)
    run_once(agent, 120.0)
    assert "DLPerf 120.0 per GPU, measured on this machine; its offers show it as an estimate" in text(
        client.get(page(agent))
    )
    assert "measured here, estimate" in text(client.get("/host/machines/"))


def test_staff_find_runs_that_are_not_believed(client: Client, agent: TestAgent) -> None:
    client.force_login(User.objects.create_superuser("staff@example.com", "pass"))
    run_once(agent, 26.0)
    untrue = run_once(agent, 60.0, 1)
    listed = client.get("/admin/hosting/measurement/?is_implausible__exact=1")
    assert [run.pk for run in listed.context["cl"].result_list] == [untrue.pk]
    assert "GPUs of this model can" in text(client.get(f"/admin/hosting/measurement/{untrue.pk}/change/"))


def test_one_run_with_every_part_and_its_spread(host_web: Client, agent: TestAgent) -> None:
    done = run_once(agent, 30.0)
    shown = text(host_web.get(f"{page(agent)}benchmarks/{done.pk}/"))
    for fact in (
        "DLPerf 30.0 per GPU",
        "GPU 0: NVIDIA GeForce RTX 3090",
        "ResNet-50 training, fp32/TF32 589 images/s 1.0% 5",
        "GPU 3: NVIDIA GeForce RTX 3090",
        "CPU matrix products, fp32 400 GFLOPS 20.0% 5",
        "Python 3.11.2, torch 2.13.0",
    ):
        assert fact in shown, fact


def test_runs_of_simulated_gpus_are_marked(client: Client) -> None:
    agent = market.listed_machine()
    client.force_login(agent.machine.host)
    benchmark_ask(machine_id=agent.machine.pk, host=agent.machine.host, now=T0)
    done = benchmarks.run_to_the_end(agent, T0, benchmarks.line(0.5, cpu=True))
    shown = text(client.get(page(agent)))
    assert "the GPUs are simulated: offers show the catalogue's score" in shown
    assert "on the CPU, GPUs simulated" in shown
    assert "GPUs simulated, run on the CPU" in text(client.get(f"{page(agent)}benchmarks/{done.pk}/"))


def test_why_a_run_failed_stands_on_its_page(host_web: Client, agent: TestAgent) -> None:
    benchmark_ask(machine_id=agent.machine.pk, host=agent.machine.host, now=T0)
    failed = benchmarks.run_to_the_end(agent, T0, "<script>alert(1)</script>")
    response = host_web.get(f"{page(agent)}benchmarks/{failed.pk}/")
    assert "The result can't be read" in text(response)
    assert "There is no result: the run failed." in text(response)
    assert b"<script>alert" not in response.content
    assert "Failed" in text(host_web.get(page(agent)))


def test_others_see_nothing_of_it(web: Client, agent: TestAgent) -> None:
    done = run_once(agent, 30.0)
    assert web.get(f"{page(agent)}benchmarks/{done.pk}/").status_code == 404
    assert web.post(f"{page(agent)}benchmark/").status_code == 404
    other = market.listed_machine(market.user())
    web.force_login(other.machine.host)
    assert web.get(f"{page(other)}benchmarks/{done.pk}/").status_code == 404


def test_without_a_program_there_is_no_button(host_web: Client, agent: TestAgent, settings: Settings) -> None:
    settings.DLPERF_IMAGE = ""
    shown = text(host_web.get(page(agent)))
    assert "Run benchmark" not in shown
    assert "has no benchmark program" in shown


def test_staff_find_the_machines_that_became_slow_and_measure_them_again(client: Client, agent: TestAgent) -> None:
    client.force_login(User.objects.create_superuser("staff@example.com", "pass"))
    fast = market.listed_machine()
    for days, score in enumerate((30.0, 26.0)):
        run_once(agent, score, days)
    listed = client.get("/admin/hosting/machine/?performance=dropped")
    assert [machine.pk for machine in listed.context["cl"].result_list] == [agent.machine.pk]
    form = {"action": "benchmark", "_selected_action": [agent.machine.pk, fast.machine.pk]}
    assert "Asked for: 2" in text(client.post("/admin/hosting/machine/", form, follow=True))
    asked = Measurement.objects.filter(reason="staff")
    assert {one.machine_id for one in asked} == {agent.machine.pk, fast.machine.pk}
    assert {one.asked_by.email for one in asked if one.asked_by} == {"staff@example.com"}


@pytest.mark.parametrize(
    ("value", "spelled"),
    [(12_345, "12,300"), (589.4, "589"), (99.96, "100"), (12.345, "12.3"), (0.001234, "0.00123"), (2.0, "2")],
)
def test_figures_have_three_digits(value: float, spelled: str) -> None:
    assert figure(value) == spelled


def test_each_quantity_that_can_be_measured_has_a_name() -> None:
    for words, metrics in ((DEVICE, DeviceMetric), (HOST, HostMetric), (NETWORK, NetworkMetric)):
        assert set(words) == set(get_args(metrics))


def test_a_result_is_told_device_by_device_with_what_was_left_out_and_all_together() -> None:
    made = benchmarks.result(gpus=2)
    scaling = Scaling(gpus=2, images_per_s=benchmarks.value(900.0), efficiency=0.94)
    skipped = msgspec.structs.replace(made.devices[0], skipped={"gemm_int8_tops": "It can't."})
    told = groups(msgspec.structs.replace(made, scaling=scaling, devices=[skipped, made.devices[1]]))
    assert [group.title for group in told] == [
        "GPU 0: NVIDIA GeForce RTX 3090",
        "GPU 1: NVIDIA GeForce RTX 3090",
        "All GPUs: 94% of what each does alone",
        "Host",
    ]
    assert told[0].skipped == [("Matrix products, int8", "It can't.")]
    assert [row.median for row in told[2].rows] == ["900"]
