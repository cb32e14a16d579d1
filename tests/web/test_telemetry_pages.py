"""How machines and instances are, on their pages and in the API."""

import itertools
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.test import Client

from agent.telemetry_protocol import Stat, TaskReading, XidSeen
from marketplace.models import Instance, User
from marketplace.services.keys import api_key_create
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.plumbing.telemetry import TestSensors, window
from tests.web.pages import text

pytestmark = pytest.mark.django_db
_sessions = itertools.count()


@pytest.fixture
def sensors(agent: TestAgent) -> TestSensors:
    return TestSensors(agent.machine, session_id=f"pages-{next(_sessions)}")


@pytest.fixture
def instance(agent: TestAgent, renter: User) -> Instance:
    rented = instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    return Instance.objects.get(pk=rented.pk)


def page(agent: TestAgent) -> str:
    return f"/host/machines/{agent.machine.pk}/"


def use(sensors: TestSensors, instance: Instance) -> None:
    """The instance has the first GPU, now and in the last minute."""
    sensors.tasks = [
        TaskReading(
            task_id=instance.task_id,
            gpu_uuids=[sensors.gpus[0].uuid],
            cpu_percent=41.0,
            ram_used_mb=6144,
            ram_limit_mb=30720,
            disk_used_mb=2048,
            net_rx_bytes_per_s=2_500_000.0,
            net_tx_bytes_per_s=120_000.0,
        )
    ]
    sensors.tell(T0, window(sensors.machine, 0, 60, task_id=instance.task_id, util=75.0))


def test_a_host_sees_each_gpu_and_the_machine(host_web: Client, agent: TestAgent, sensors: TestSensors) -> None:
    assert "No measurements in the last minute and a half" in text(host_web.get(page(agent)))
    sensors.change(1, throttle=["heat"], xids=[XidSeen(xid=31, count=2, age_seconds=60.0)], fan_percent=None)
    sensors.tell(T0)
    shown = text(host_web.get(f"{page(agent)}figures/"))
    for fact in (
        "Simulated figures",
        "GPU 0 RTX 3090",
        "Utilisation 90%",
        "12 GB of 24 GB",
        "70 °C",
        "300 W of 350",
        "Fan 60%",
        "Memory errors: 0 corrected, 0 not",
        "Slowed down by heat",
        "Errors of the driver since the boot: Xid 31, 2 times",
        "CPU 13%",
        "4 GB of 128 GB",
        "2.0 MB/s / 500 kB/s",
    ):
        assert fact in shown, fact


def test_a_host_learns_why_a_gpu_left_the_market_and_what_to_do(
    host_web: Client, agent: TestAgent, sensors: TestSensors
) -> None:
    sensors.change(3, lost=True)
    sensors.tell(T0)
    shown = text(host_web.get(page(agent)))
    for fact in (
        "Off the market The GPU does not answer any more: it fell off the PCIe bus.",
        "Switch the machine off and on.",
        "Left market GPU 3 is not offered any more.",
    ):
        assert fact in shown, fact
    row = host_web.get("/help/")
    assert "When a GPU leaves the market" in text(row)


@pytest.mark.parametrize(("period", "points"), [("1h", 61), ("24h", 145), ("7d", 169), ("30d", 181), ("nonsense", 145)])
def test_charts_of_each_period(
    host_web: Client, agent: TestAgent, sensors: TestSensors, period: str, points: int
) -> None:
    sensors.tell(T0, window(agent.machine, 0, 60))
    response = host_web.get(f"{page(agent)}history/?period={period}")
    history = response.context["charts"]
    assert len(history.times) == points
    assert all(len(one.mean) == points for chart in history.charts for one in chart.series)
    assert history.charts[0].series[3].average == 50.0
    shown = text(response)
    assert "GPU utilisation, GPU 3 50 % 50 % 50 %" in shown
    assert "1 hour 24 hours 7 days 30 days" in shown


def test_pages_of_others_are_not_found(other_web: Client, agent: TestAgent, instance: Instance) -> None:
    for address in (f"{page(agent)}figures/", f"{page(agent)}history/", f"/instances/{instance.pk}/history/"):
        assert other_web.get(address).status_code == 404


def test_a_client_sees_what_its_instance_uses(web: Client, sensors: TestSensors, instance: Instance) -> None:
    assert "Nothing was measured in this time" in text(web.get(f"/instances/{instance.pk}/"))
    use(sensors, instance)
    shown = text(web.get(f"/instances/{instance.pk}/"))
    for fact in (
        "Utilisation 90%",
        "CPU 41% of its cores",
        "6 GB of 30 GB",
        "2 GB of 10 GB",
        "2.5 MB/s / 120 kB/s",
        "GPU utilisation, GPU 0 75 % 75 % 75 %",
        "Simulated GPUs",
    ):
        assert fact in shown, fact
    assert "GPU 1" not in shown
    assert "Utilisation 90%" in text(web.get(f"/instances/{instance.pk}/live/"))


def test_errors_of_gpus_stand_on_the_pages_of_host_and_client(
    web: Client, host_web: Client, agent: TestAgent, sensors: TestSensors, instance: Instance
) -> None:
    use(sensors, instance)
    assert "Errors of GPUs" not in text(web.get(f"/instances/{instance.pk}/"))  # an agent that counts none
    sensors.change(0, ecc_corrected=3, xids=[XidSeen(xid=31, count=2, age_seconds=60.0)])
    errors = [Stat(0, 2, 3, 4), Stat(0, 0, 0, 4), Stat(0, 2, 2, 4)]
    sensors.tell(T0, window(agent.machine, 1, 0, task_id=instance.task_id, errors=errors))
    for shown in (text(web.get(f"/instances/{instance.pk}/")), text(host_web.get(page(agent)))):
        assert "Memory errors: 3 corrected, 0 not. Errors of the driver since the boot: Xid 31, 2 times." in shown
        assert "Errors of GPUs, GPU 0: memory errors corrected 3 in all" in shown
        assert "Errors of GPUs, GPU 0: errors of the driver 2 in all" in shown
        assert "not corrected" not in shown.replace("corrected, 0 not", "")
    chart = api(agent.machine.host, f"machines/{agent.machine.pk}/history/?period=1h").json()["charts"][-1]
    assert chart["key"] == "gpu_errors"
    assert [one["total"] for one in chart["series"]] == [3] * 4 + [2] * 4


def test_that_there_were_no_errors_is_told(host_web: Client, agent: TestAgent, sensors: TestSensors) -> None:
    sensors.tell(T0, window(agent.machine, 0, 0, errors=[None, Stat(0, 0, 0, 4), None]))
    assert "Errors of GPUs none" in text(host_web.get(page(agent)))


def test_a_client_learns_what_is_wrong_with_its_gpu(web: Client, sensors: TestSensors, instance: Instance) -> None:
    use(sensors, instance)
    sensors.change(0, ecc_uncorrected=4)
    sensors.tell(T0 + timedelta(seconds=15))
    shown = text(web.get(f"/instances/{instance.pk}/live/"))
    assert "A GPU of this instance has a problem. The GPU's memory has errors that could not be corrected: 4" in shown


def api(user: User, path: str) -> Any:
    key = api_key_create(user=user, name="test", now=T0)[1]
    return Client().get(f"/api/v0/{path}", headers={"Authorization": f"Bearer {key}"})


def test_the_api_tells_what_an_instance_uses(renter: User, sensors: TestSensors, instance: Instance) -> None:
    unknown = api(renter, f"instances/{instance.pk}/").json()["instances"]
    assert (unknown["gpu_util"], unknown["cpu_util"], unknown["mem_usage"]) == (None, None, None)
    use(sensors, instance)
    row = api(renter, f"instances/{instance.pk}/").json()["instances"]
    names = ("gpu_util", "gpu_temp", "cpu_util", "mem_usage", "mem_limit", "vmem_usage")
    assert {name: row[name] for name in names} == {
        "gpu_util": 90.0,
        "gpu_temp": 70,
        "cpu_util": 41.0,
        "mem_usage": 6.0,
        "mem_limit": 30.0,
        "vmem_usage": 12.0,
    }
    assert row["gpu_problem"] is None
    (listed,) = api(renter, "instances/").json()["instances"]
    assert listed["gpu_util"] == 90.0


def test_the_api_tells_the_history(renter: User, agent: TestAgent, sensors: TestSensors, instance: Instance) -> None:
    use(sensors, instance)
    answer = api(renter, f"instances/{instance.pk}/history/?period=1h").json()
    assert (answer["period"], answer["step_seconds"], len(answer["times"])) == ("1h", 60, 61)
    assert [chart["key"] for chart in answer["charts"]][:2] == ["gpu_util", "gpu_memory"]
    (line,) = answer["charts"][0]["series"]
    assert (line["label"], [value for value in line["mean"] if value is not None]) == ("GPU 0", [75.0])
    assert api(renter, f"instances/{instance.pk}/history/?period=2y").status_code == 400
    assert api(renter, f"machines/{agent.machine.pk}/history/").status_code == 404
    host = agent.machine.host
    machine = api(host, f"machines/{agent.machine.pk}/history/").json()
    assert len(machine["charts"][0]["series"]) == 4
    assert api(host, f"instances/{instance.pk}/history/").status_code == 404


def test_the_api_tells_a_host_how_its_gpus_are(agent: TestAgent, sensors: TestSensors) -> None:
    sensors.change(2, xids=[XidSeen(xid=48, count=1, age_seconds=1.0)])
    sensors.tell(T0)
    (row,) = api(agent.machine.host, f"machines/{agent.machine.pk}/").json()
    assert row["gpu_occupancy"] == "x x E x"
    healthy, broken = row["gpus"][0], row["gpus"][2]
    assert (healthy["gpu_util"], healthy["gpu_temp"], healthy["problem"]) == (90.0, 70, None)
    assert broken["problem"].startswith("NVIDIA's driver reported a fault of the hardware: Xid 48")
    assert row["cpu_util"] == 12.5


def test_figures_that_are_not_known_break_no_page(
    web: Client, host_web: Client, agent: TestAgent, sensors: TestSensors, instance: Instance
) -> None:
    sensors.change(0, memory_used_mb=1, memory_total_mb=None)
    sensors.system = msgspec.structs.replace(sensors.system, disk_free_gb=None)
    use(sensors, instance)
    for address in (f"/instances/{instance.pk}/", f"/instances/{instance.pk}/live/"):
        answer = web.get(address)
        assert answer.status_code == 200
        assert "Memory 0.0 GB Temperature" in text(answer)
    for address in (page(agent), f"{page(agent)}figures/"):
        answer = host_web.get(address)
        assert answer.status_code == 200
        assert "Disk 100 GB used Network" in text(answer)
