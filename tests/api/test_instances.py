"""An account's instances over HTTP: the life of one, lists, pages, several at once, and other people's."""

import base64
import json
from typing import Any

import pytest
import time_machine

from agent.protocol import ObservedTask
from hosting.services.offline import machine_mark_offline
from marketplace.api.instance_json import INSTANCE_COLUMNS, PUBLISHED_ON
from marketplace.models import Instance
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent


def rent(api: Api, agent: TestAgent, gpus: int = 1, **body: Any) -> int:
    answer = api.put(f"/asks/{market.offer(agent, gpus).pk}/", {"image": "ubuntu:22.04"} | body)
    assert answer.status == 200, answer.json
    return int(answer.json["new_contract"])


def show(api: Api, instance_id: int) -> dict[str, Any]:
    row = api.get(f"/instances/{instance_id}/", owner="me").json["instances"]
    assert isinstance(row, dict)
    return row


def statuses(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["actual_status"], row["intended_status"], row["cur_state"], row["next_state"], row["state"]


def observe(agent: TestAgent, task_id: int, phase: str, **values: Any) -> None:
    known = agent.phases.get(task_id)
    run = values.pop("run_generation", known.run_generation if known else 1)
    told = ObservedTask(task_id=task_id, phase=phase, run_generation=run, age_seconds=0.0, **values)  # type: ignore[arg-type]  # any phase
    agent.report(T0, told)


def test_the_life_of_an_instance(api: Api, agent: TestAgent) -> None:
    pk = rent(api, agent, 2, label="mine", env={"A": "1", "-p 8080:8080": "1"}, onstart="true")
    task_id = Instance.objects.get().task_id
    assert statuses(show(api, pk)) == (None, "running", "running", "running", "loading")
    observe(agent, task_id, "pulling")
    assert statuses(show(api, pk))[0] == "loading"
    observe(agent, task_id, "creating")
    assert statuses(show(api, pk))[0] == "created"
    assert "ports" not in show(api, pk)
    agent.obey(T0)
    assert statuses(show(api, pk)) == ("running", "running", "running", "running", "running")
    assert api.put(f"/instances/{pk}/", {"state": "stopped"}).json == {"success": True}
    assert statuses(show(api, pk)) == ("running", "stopped", "running", "stopped", "stopping")
    agent.obey(T0)
    assert statuses(show(api, pk)) == ("stopped", "stopped", "stopped", "stopped", "stopped")
    assert api.put(f"/instances/{pk}/", {"state": "running"}).json == {"success": True}
    agent.obey(T0)
    assert api.put(f"/instances/reboot/{pk}/", {}).json == {"success": True}
    assert statuses(show(api, pk))[4] == "loading"
    agent.obey(T0)
    assert statuses(show(api, pk))[0] == "running"
    assert api.delete(f"/instances/{pk}/").json == {"success": True}
    assert statuses(show(api, pk)) == ("stopped", "stopped", "unloaded", "unloaded", "destroying")
    agent.obey(T0)
    assert api.get(f"/instances/{pk}/").json["instances"] is None
    assert api.get("/api/v1/instances/").json["instances"] == []


def test_what_a_running_instance_shows(api: Api, agent: TestAgent, clock: time_machine.Traveller) -> None:
    pk = rent(api, agent, 2, label="mine", env={"A": "1", "-p 9000:8080/udp": "1"}, disk=20, onstart="true")
    agent.obey(T0)
    clock.shift(90)
    row = show(api, pk)
    instance = Instance.objects.get()
    assert set(row) == set(INSTANCE_COLUMNS)
    assert (row["id"], row["label"], row["num_gpus"], row["gpu_name"]) == (pk, "mine", 2, "RTX 3090")
    assert (row["ssh_host"], row["ssh_port"], row["public_ipaddr"]) == ("192.0.2.7", instance.ssh_port, "192.0.2.7")
    assert row["ports"]["22/tcp"] == [{"HostIp": PUBLISHED_ON, "HostPort": str(instance.ssh_port)}]
    assert row["ports"]["8080/udp"][0]["HostPort"].isdigit()
    assert row["extra_env"] == [["A", "1"], ["-p 8080:8080/udp", "1"]]
    assert (row["start_date"], row["uptime_mins"]) == (T0.timestamp(), 1.5)
    assert row["duration"] == 90 * 86_400 - 90
    assert row["end_date"] == row["start_date"] + 90 * 86_400
    assert (row["image_uuid"], row["image_args"], row["image_runtype"]) == ("ubuntu:22.04", [], "ssh")
    assert (row["dph_base"], row["disk_space"], row["is_bid"]) == (1.0, 20, False)
    assert row["dph_total"] == pytest.approx(1.0 + 0.1 * 20 / 720, abs=1e-6)
    assert (row["cpu_cores_effective"], row["simulated"], row["error"]) == (16.0, True, None)
    assert (row["disk_usage"], row["disk_util"]) == (-1.0, -1.0)


def test_a_failure_shows_its_reason_in_words_that_scripts_look_for(api: Api, agent: TestAgent) -> None:
    pk = rent(api, agent)
    task_id = Instance.objects.get().task_id
    observe(agent, task_id, "failed", reason="image_missing", message="There is no such image.")
    row = show(api, pk)
    assert statuses(row) == ("exited", "running", "stopped", "stopped", "error")
    assert row["status_msg"] == "Error: There is no such image."
    assert (row["error"], row["error_reason"]) == ("There is no such image.", "image_missing")


def test_an_exit_shows_its_code(api: Api, agent: TestAgent) -> None:
    pk = rent(api, agent, runtype="args", args=["false"])
    agent.obey(T0)
    observe(agent, Instance.objects.get().task_id, "exited", exit_code=3)
    row = show(api, pk)
    assert statuses(row) == ("exited", "running", "stopped", "stopped", "exited")
    assert (row["exit_code"], row["error"]) == (3, None)
    assert "exit code 3" in row["status_msg"]
    assert (row["ssh_host"], row["ssh_port"]) == (None, None)


def test_an_unreachable_machine_shows(api: Api, agent: TestAgent) -> None:
    pk = rent(api, agent)
    agent.obey(T0)
    machine_mark_offline(machine_id=agent.machine.pk, last_seen_at=T0, now=T0)
    assert statuses(show(api, pk)) == ("offline", "running", "running", "running", "running")


def test_waiting_for_gpus_shows(api: Api, stranger: Api, agent: TestAgent) -> None:
    pk = rent(api, agent, 4)
    agent.obey(T0)
    api.put(f"/instances/{pk}/", {"state": "stopped"})
    agent.obey(T0)
    rent(stranger, agent, 4)
    assert api.put(f"/instances/{pk}/", {"state": "running"}).status == 200
    row = show(api, pk)
    assert statuses(row) == ("stopped", "running", "stopped", "running", "scheduling")
    assert "Waiting" in row["status_msg"]


def test_labels(api: Api, agent: TestAgent) -> None:
    pk = rent(api, agent)
    assert show(api, pk)["label"] is None
    assert api.put(f"/instances/{pk}/", {"label": "a new name"}).json == {"success": True}
    assert show(api, pk)["label"] == "a new name"
    assert api.put(f"/instances/{pk}/", {"label": "x" * 257}).json["field"] == "label"
    assert api.put(f"/instances/{pk}/", {"label": ""}).status == 200
    assert show(api, pk)["label"] is None


def test_senseless_changes_are_refused(api: Api, agent: TestAgent) -> None:
    pk = rent(api, agent)
    assert api.put(f"/instances/{pk}/", {}).error == "invalid_args"
    assert api.put(f"/instances/{pk}/", {"state": "frozen"}).json["field"] == "state"
    assert api.put(f"/instances/{pk}/", {"state": 1}).json["field"] == "state"
    refused = api.put(f"/instances/reboot/{pk}/", {})
    assert (refused.status, refused.error) == (409, "wrong_state")
    assert api.delete(f"/instances/{pk}/").status == 200
    refused = api.put(f"/instances/{pk}/", {"state": "running"})
    assert (refused.status, refused.error) == (409, "wrong_state")


def test_other_peoples_instances_do_not_exist(api: Api, stranger: Api, agent: TestAgent, host_api: Api) -> None:
    pk = rent(api, agent)
    for other in (stranger, host_api):
        assert other.get(f"/instances/{pk}/").json["instances"] is None
        assert other.get("/instances/").json["instances"] == []
        assert other.get("/api/v1/instances/").json["total_instances"] == 0
        for refused in (
            other.put(f"/instances/{pk}/", {"state": "stopped"}),
            other.put(f"/instances/{pk}/", {"label": "x"}),
            other.put(f"/instances/reboot/{pk}/", {}),
            other.delete(f"/instances/{pk}/"),
            other.put("/instances/", {"ids": [pk], "state": "stopped"}),
            other.delete("/instances/", {"instance_ids": [pk]}),
        ):
            assert (refused.status, refused.error) == (404, "no_such_instance")
    assert Instance.objects.get().state == "loading"


def test_several_at_once_or_none(api: Api, agent: TestAgent) -> None:
    ids = [rent(api, agent), rent(api, agent)]
    agent.obey(T0)
    refused = api.put("/instances/", {"ids": [*ids, 10**12], "state": "stopped"})
    assert refused.error == "no_such_instance"
    assert {row["state"] for row in api.get("/instances/").json["instances"]} == {"running"}
    assert api.put("/instances/", {"ids": ids, "state": "stopped"}).json == {"success": True, "ids": ids}
    assert {row["state"] for row in api.get("/instances/").json["instances"]} == {"stopping"}
    assert api.delete("/instances/", {"instance_ids": [str(pk) for pk in ids]}).json["success"] is True
    assert {row["state"] for row in api.get("/instances/").json["instances"]} == {"destroying"}
    for ids_sent in (None, [], "1", [1.5], ["x"], [True], [10**30]):
        assert api.delete("/instances/", {"instance_ids": ids_sent}).json["field"] == "instance_ids"


@pytest.fixture
def three(api: Api) -> list[int]:
    """Three instances on two machines: labels b, a and none."""
    first, second = market.listed_machine(), market.listed_machine(gpu_micros_per_hour=900_000)
    ids = [rent(api, first, label="b"), rent(api, first, 2, label="a"), rent(api, second)]
    first.obey(T0)
    return ids


def page(api: Api, **query: Any) -> tuple[list[int], Any]:
    answer = api.get("/api/v1/instances/", **query)
    assert answer.status == 200, answer.json
    return [row["id"] for row in answer.json["instances"]], answer.json["next_token"]


def test_pages_have_everything_once_in_order(api: Api, three: list[int]) -> None:
    listing = api.get("/api/v1/instances/")
    assert page(api) == (three, None)
    assert listing.json["total_instances"] == 3
    assert listing.json["label_counts"] == {"a": 1, "b": 1, "": 1}
    seen: list[int] = []
    token = None
    for _ in range(3):
        ids, token = page(api, limit=1, **({"after_token": token} if token else {}))
        seen += ids
    assert (seen, token) == (three, None)
    by_label = [{"col": "label", "dir": "desc"}]
    ids, token = page(api, limit=2, order_by=by_label)
    assert ids == three[:2]
    assert page(api, limit=2, order_by=by_label, after_token=token) == (three[2:], None)
    by_price = [{"col": "dph_base", "dir": "desc"}, {"col": "id"}]
    assert page(api, order_by=by_price)[0] == [three[1], three[2], three[0]]


def test_a_page_goes_on_where_it_stopped_although_rows_vanish(api: Api, three: list[int]) -> None:
    _, token = page(api, limit=1)
    Instance.objects.filter(pk=three[0]).update(state="destroyed")
    assert page(api, after_token=token) == (three[1:], None)


@pytest.mark.parametrize("huge", [10**400, -(10**400), 1e308, float("inf")], ids=["huge", "minus", "float", "inf"])
def test_a_made_up_token_with_any_number_breaks_nothing(api: Api, three: list[int], huge: float) -> None:
    token = base64.urlsafe_b64encode(json.dumps({"id": huge}).encode()).decode()
    assert page(api, after_token=token) == (three if huge < three[0] else [], None)


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"actual_status": {"in": ["running"]}}, [0, 1]),
        ({"actual_status": {"in": [None]}}, [2]),
        ({"label": {"in": ["a", None]}}, [1, 2]),
        ({"label": {"eq": "b"}}, [0]),
        ({"label": "b"}, [0]),
        ({"num_gpus": {"gte": "2"}}, [1]),
        ({"num_gpus": {"neq": 1}}, [1]),
        ({"num_gpus": [1]}, [0, 2]),
        ({"gpu_name": {"in": ["RTX 3090"]}, "verification": {"notin": ["verified"]}}, [0, 1, 2]),
        ({"is_bid": {"eq": "false"}}, [0, 1, 2]),
        ({"dph_base": {"gt": 0.8, "lt": 0.95}}, [2]),
        ({}, [0, 1, 2]),
    ],
)
def test_filters(api: Api, three: list[int], filters: dict[str, Any], kept: list[int]) -> None:
    assert page(api, select_filters=filters)[0] == [three[n] for n in kept]


@pytest.mark.usefixtures("three")
def test_chosen_columns_and_filter_values(api: Api) -> None:
    rows = api.get("/api/v1/instances/", select_cols=["num_gpus", "ports"]).json["instances"]
    assert [sorted(row) for row in rows] == [["num_gpus", "ports"], ["num_gpus", "ports"], ["num_gpus"]]
    assert api.get("/instances/filters/").json["filters"] == [
        {"actual_status": "running", "verification": "unverified", "gpu_name": "RTX 3090"},
        {"actual_status": None, "verification": "unverified", "gpu_name": "RTX 3090"},
    ]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"select_filters": {"lable": "x"}}, "label"),
        ({"select_filters": {"label": {"like": "x"}}}, "like"),
        ({"select_filters": {"num_gpus": {"gt": "x"}}}, "num_gpus"),
        ({"select_filters": []}, "select_filters"),
        ({"order_by": [{"col": "prize"}]}, "prize"),
        ({"order_by": [{"col": "id", "dir": "up"}]}, "asc or desc"),
        ({"order_by": {}}, "order_by"),
        ({"select_cols": ["idd"]}, "idd"),
        ({"select_cols": {}}, "select_cols"),
        ({"limit": 0}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"after_token": "abc"}, "after_token"),
        ({"after_token": "bnVsbA=="}, "after_token"),
    ],
)
def test_bad_lists_are_refused_by_name(api: Api, query: dict[str, Any], named: str) -> None:
    refused = api.get("/api/v1/instances/", **query)
    assert (refused.status, refused.error) == (400, "invalid_query")
    assert named in refused.json["msg"]


def test_a_page_has_at_most_25_rows(api: Api) -> None:
    agents = [market.listed_machine(gpus=8) for _ in range(4)]
    ids = [rent(api, agent) for agent in agents for _ in range(7)]
    first, token = page(api, limit=1000)
    assert first == ids[:25]
    assert page(api, after_token=token) == (ids[25:], None)
