"""Measurements on their way in: kept once, joined as they age, and GPUs that leave the market by them."""

import itertools
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.test import Client

from agent.protocol import encode
from agent.telemetry_protocol import MOST_WINDOWS, TaskReading, TelemetryRequest, XidSeen
from hosting.domain import gpu_health as rules
from hosting.domain.secrets import secret_hash
from hosting.domain.telemetry import KEPT_FOR
from hosting.errors import HostingError
from hosting.gateways import live_figures
from hosting.models import Gpu, GpuHealth, Machine, TelemetryWindow
from hosting.services.telemetry import telemetry_receive
from hosting.services.telemetry_sweeps import telemetry_sweep
from hosting.telemetry import live_of, machine_history, task_history, tasks_now
from marketplace.models import Instance, Notice, Offer
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.plumbing.telemetry import TestSensors, window

pytestmark = pytest.mark.django_db
CREDENTIAL = "sym_measuring"


@pytest.fixture
def agent() -> TestAgent:
    return market.listed_machine(gpus=4)


@pytest.fixture
def sensors(agent: TestAgent) -> TestSensors:
    # Redis outlives the test, and so would another test's numbers for a machine of the same id.
    return TestSensors(agent.machine, session_id=f"session-{next(_sessions)}")


_sessions = itertools.count()


def after(seconds: float) -> Any:
    return T0 + timedelta(seconds=seconds)


def rent(agent: TestAgent, gpus: int) -> Instance:
    client = market.user(dollars=100)
    offer = market.offer(agent, gpus)
    return instance_rent(client=client, offer_id=offer.pk, request=market.wish(), now=T0)


def offered(agent: TestAgent) -> int:
    """GPUs of the largest live offer."""
    return max(
        Offer.objects.filter(machine=agent.machine, retired_at=None).values_list("num_gpus", flat=True), default=0
    )


def test_the_latest_look_is_shown_and_an_older_one_does_not_replace_it(sensors: TestSensors) -> None:
    sensors.tell(T0)
    sensors.change(0, utilization_percent=10.0)
    sensors.tell(after(15))
    shown = live_of([sensors.machine.pk])[sensors.machine.pk]
    assert shown.gpus[0].utilization_percent == 10.0
    sensors.number = 0
    sensors.change(0, utilization_percent=99.0)
    sensors.tell(after(16))
    assert live_of([sensors.machine.pk])[sensors.machine.pk] == shown


def test_each_window_counts_once_however_often_it_comes(sensors: TestSensors) -> None:
    machine = sensors.machine
    first, second, third = (window(machine, number, 180 - 60 * number) for number in range(3))
    assert sensors.tell(T0, first, second) == 1
    assert sensors.tell(after(1), first, second) == 1
    assert sensors.tell(after(2), second, third) == 2
    assert sensors.tell(after(3), first) == 2
    assert TelemetryWindow.objects.filter(machine=machine).count() == 3


def test_a_new_session_counts_anew_and_a_late_message_of_the_old_one_does_not(agent: TestAgent) -> None:
    old, new = TestSensors(agent.machine, "old"), TestSensors(agent.machine, "new")
    told = window(agent.machine, 5, 120)
    old.tell(T0, told)
    assert new.tell(after(60), window(agent.machine, 0, 0)) == 0
    assert old.tell(after(61), told) == 5
    assert TelemetryWindow.objects.count() == 2


def test_nothing_is_kept_of_strangers_gpus_and_tasks(agent: TestAgent, sensors: TestSensors) -> None:
    other = market.listed_machine(gpus=1)
    sensors.tell(T0, window(other.machine, 0, 0, task_id=999_999))
    history = machine_history(agent.machine, "1h", after(60))
    assert all(one.average is None for one in history.charts[0].series)
    assert history.charts[4].series[0].average == 20.0


def test_windows_from_beyond_all_sense_are_dropped_and_count_as_received(sensors: TestSensors) -> None:
    told = [window(sensors.machine, 0, 10**9), window(sensors.machine, 1, 0, seconds=-5.0)]
    assert sensors.tell(T0, *told) == 1
    assert not TelemetryWindow.objects.exists()


def test_too_many_windows_are_refused(sensors: TestSensors) -> None:
    many = [window(sensors.machine, number, 0) for number in range(MOST_WINDOWS + 1)]
    with pytest.raises(HostingError, match="at most 20"):
        sensors.tell(T0, *many)


def test_measurements_grow_coarser_and_are_deleted_after_a_month(sensors: TestSensors) -> None:
    machine = sensors.machine
    for number in range(120):
        sensors.tell(after(60 * number), window(machine, number, 0, util=number / 2))
    end = after(60 * 120)
    assert telemetry_sweep(now=end) == 0
    before = machine_history(machine, "24h", end).charts[0].series[0]
    telemetry_sweep(now=end + timedelta(hours=3))
    assert {row.level for row in TelemetryWindow.objects.all()} == {1}
    assert TelemetryWindow.objects.count() <= 25
    later = machine_history(machine, "24h", end).charts[0].series[0]
    assert (later.average, later.lowest, later.highest) == (before.average, 0.0, 59.5)
    telemetry_sweep(now=end + timedelta(days=4))
    assert {row.level for row in TelemetryWindow.objects.all()} == {2}
    assert TelemetryWindow.objects.count() <= 3
    month = machine_history(machine, "30d", end + timedelta(days=4)).charts[0].series[0]
    assert (month.average, month.lowest, month.highest) == (before.average, 0.0, 59.5)
    assert telemetry_sweep(now=end + timedelta(days=4)) == 0
    telemetry_sweep(now=end + KEPT_FOR + timedelta(hours=1))
    assert not TelemetryWindow.objects.exists()


def test_a_client_sees_its_own_gpus_and_only_while_it_has_them(agent: TestAgent, sensors: TestSensors) -> None:
    instance = rent(agent, 1)
    other = rent(agent, 1)
    agent.obey(T0)
    sensors.tell(after(60), window(agent.machine, 0, 0, task_id=None, util=11.0))
    sensors.tell(after(120), window(agent.machine, 1, 0, task_id=instance.task_id, util=77.0))
    shown = task_history(instance.task, "1h", after(180))
    assert [(one.label, one.average) for one in shown.charts[0].series] == [("GPU 0", 77.0)]
    assert shown.charts[4].series[0].average == 30.0
    assert task_history(other.task, "1h", after(180)).is_empty
    uuid = agent.machine.gpus.get(index=0).uuid
    sensors.tasks = [TaskReading(task_id=instance.task_id, gpu_uuids=[uuid], cpu_percent=40.0)]
    sensors.tell(after(121))
    now = tasks_now([instance.task, other.task])
    assert (now[instance.task_id].gpu_percent, now[instance.task_id].task.cpu_percent) == (90.0, 40.0)
    assert other.task_id not in now


def test_a_gpu_leaves_the_market_and_comes_back_after_a_boot(agent: TestAgent, sensors: TestSensors) -> None:
    sensors.tell(T0)
    assert offered(agent) == 4
    sensors.change(2, xids=[XidSeen(xid=79, count=1, age_seconds=3.0)])
    sensors.tell(after(15))
    gpu = Gpu.objects.get(machine=agent.machine, index=2)
    assert gpu.unhealthy_reason == (
        "NVIDIA's driver reported a fault of the hardware: Xid 79, the GPU fell off the bus."
    )
    assert offered(agent) == 3
    event = agent.machine.events.get(kind="left_market")
    assert "Reboot the machine" in event.message
    assert event.details == {"gpu": gpu.uuid, "fault": rules.XID}
    notice = Notice.objects.get(kind="gpu_unhealthy")
    assert (notice.client_id, notice.subject) == (
        agent.machine.host_id,
        f"A GPU of machine {agent.machine.pk} (rig-1) is off the market",
    )
    sensors.change(2, xids=[])
    sensors.tell(after(30))
    assert offered(agent) == 3
    sensors.boot_id = "boot-2"
    for seconds in range(300, 376, 15):
        sensors.tell(after(seconds))
    assert offered(agent) == 4
    assert agent.machine.events.filter(kind="back_on_market").count() == 1
    assert Notice.objects.filter(kind="gpu_healthy").count() == 1


def test_a_driver_that_is_silent_takes_all_gpus_away_and_says_so_once(agent: TestAgent, sensors: TestSensors) -> None:
    sensors.tell(T0)
    sensors.driver_error = "The NVIDIA driver does not answer properly."
    for seconds in range(15, 136, 15):
        sensors.tell(after(seconds))
    assert offered(agent) == 0
    notice = Notice.objects.get(kind="gpu_unhealthy")
    assert notice.subject.startswith("4 GPUs of machine")


def test_what_runs_on_a_broken_gpu_goes_on_and_its_client_learns_why(agent: TestAgent, sensors: TestSensors) -> None:
    instance = rent(agent, 4)
    agent.obey(T0)
    sensors.tell(T0)
    sensors.change(0, lost=True)
    sensors.tell(after(15))
    instance.refresh_from_db()
    assert instance.state == "running"
    assert Instance.objects.get(pk=instance.pk).task.gpu_claims.filter(released_at=None).count() == 4


def test_a_look_without_news_writes_nothing(sensors: TestSensors, django_assert_max_num_queries: Any) -> None:
    sensors.tell(T0)
    before = list(GpuHealth.objects.values())
    with django_assert_max_num_queries(1):
        sensors.tell(after(15))
    assert list(GpuHealth.objects.values()) == before


def test_without_redis_gpus_are_judged_all_the_same(
    agent: TestAgent, sensors: TestSensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> None:
        raise redis.ConnectionError("away")

    monkeypatch.setattr(live_figures, "client", gone)
    sensors.change(1, ecc_uncorrected=2)
    assert sensors.tell(T0, window(agent.machine, 0, 0)) == 0
    assert offered(agent) == 3
    assert live_of([agent.machine.pk]) == {}


def test_the_endpoint_takes_what_agents_send_and_refuses_nonsense(agent: TestAgent, sensors: TestSensors) -> None:
    Machine.objects.filter(pk=agent.machine.pk).update(credential_hash=secret_hash(CREDENTIAL))
    request = TelemetryRequest(session_id="s", live=sensors.live(), windows=[window(agent.machine, 7, 0)])

    def post(body: bytes, credential: str = CREDENTIAL) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {credential}"}
        answer = Client().post("/api/agent/v1/telemetry", body, content_type="application/json", headers=headers)
        return answer.status_code, answer.json()

    assert post(encode(request)) == (200, {"received": 7})
    assert post(encode(request)) == (200, {"received": 7})
    assert post(encode(request), "sym_wrong")[0] == 401
    assert post(b"{")[1]["error"] == "invalid_json"
    assert post(b'{"session_id": "' + b"x" * 65 + b'"}')[1]["error"] == "invalid_message"
    assert post(encode(request).replace(b'"count":4', b'"count":99999999999999999999'))[0] in (200, 400)


def test_a_removed_machine_keeps_its_gpus_as_they_were(agent: TestAgent, sensors: TestSensors) -> None:
    Machine.objects.filter(pk=agent.machine.pk).update(removed_at=T0)
    sensors.change(0, lost=True)
    telemetry_receive(
        machine_id=agent.machine.pk, request=TelemetryRequest(session_id="s", live=sensors.live()), now=T0
    )
    assert not Gpu.objects.exclude(unhealthy_reason="").exists()
