"""Maintenance over HTTP, as the command-line client sends it."""

from typing import Any

import pytest

from tests.api.calls import Api
from tests.plumbing.market import T0, TestAgent

DAY_SECONDS = 86_400


def window(**changes: object) -> dict[str, Any]:
    body = {"client_id": "me", "sdate": T0.timestamp() + DAY_SECONDS, "duration": 2.5, "maintenance_category": "power"}
    return body | changes


def test_scheduled_shown_and_canceled(host_api: Api, stranger: Api, agent: TestAgent) -> None:
    machine = agent.machine.pk
    assert host_api.put(f"/machines/{machine}/dnotify/", window()).json["success"]
    (row,) = host_api.get("/machines/maintenances", owner="me", machine_ids=f"[{machine}]").json
    assert row == {
        "machine_id": machine,
        "start_time": T0.timestamp() + DAY_SECONDS,
        "end_time": T0.timestamp() + DAY_SECONDS + 9_000,
        "duration_hours": 2.5,
        "maintenance_category": "power",
    }
    assert host_api.get("/machines/maintenances").json == [row]
    assert stranger.get("/machines/maintenances", machine_ids=f"[{machine}]").json == []
    assert stranger.put(f"/machines/{machine}/cancel_maint/", {}).status == 404
    assert host_api.put(f"/machines/{machine}/cancel_maint/", {"client_id": "me", "machine_id": machine}).status == 200
    assert host_api.put(f"/machines/{machine}/cancel_maint/", {}).json["error"] == "no_maintenance"
    assert host_api.get("/machines/maintenances").json == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"sdate": None}, "sdate"),
        ({"sdate": "tomorrow"}, "sdate"),
        ({"sdate": 1e300}, "sdate"),
        ({"sdate": T0.timestamp() - 1}, "starts_at"),
        ({"duration": None}, "duration"),
        ({"duration": -1}, "duration"),
        ({"duration": 24 * 8}, "hours"),
        ({"maintenance_category": "x" * 201}, "note"),
        ({"maintenance_category": 5}, "maintenance_category"),
    ],
)
def test_nonsense_is_refused_by_field(host_api: Api, agent: TestAgent, changes: dict[str, object], field: str) -> None:
    answer = host_api.put(f"/machines/{agent.machine.pk}/dnotify/", window(**changes))
    assert answer.status in (400, 422)
    assert field in str(answer.json)
    assert host_api.get("/machines/maintenances").json == []


@pytest.mark.parametrize("ids", ["5", '["a"]', "{}"])
def test_machine_ids_are_a_list_of_numbers(host_api: Api, ids: str) -> None:
    assert host_api.get("/machines/maintenances", machine_ids=ids).status == 400
