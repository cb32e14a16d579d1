"""Volumes over HTTP, in the words of the command-line client."""

from typing import Any

import pytest

from hosting.models import Volume
from marketplace.api.rent_body import rent_request
from marketplace.domain.rent import VolumeWish
from marketplace.errors import MarketError
from marketplace.models import Instance, User
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

SEARCH: dict[str, Any] = {
    "verified": {"eq": "any"},
    "external": {"eq": False},
    "disk_space": {"gte": 1},
    "order": [["score", "desc"]],
    "allocated_storage": 1.0,
}


def found(anyone: Api, **more: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = anyone.post("/volumes/search/", SEARCH | more).json["offers"]
    return rows


def test_search_create_show_and_delete(api: Api, anyone: Api, agent: TestAgent) -> None:
    (offer,) = found(anyone)
    assert (offer["machine_id"], offer["disk_space"], offer["storage_cost"]) == (agent.machine.pk, 1000, 0.1)
    made = api.put("/volumes/", {"size": 100, "id": offer["id"], "name": "data"}).json
    assert (made["success"], made["volume_name"]) == (True, "data")
    agent.keep_volumes(T0, used_mb=2000)
    (row,) = api.get("/volumes", owner="me", type="all_volume").json["volumes"]
    assert (row["id"], row["label"], row["disk_space"], row["status"]) == (made["id"], "data", 100, "running")
    assert (row["machine_id"], row["instances"], row["disk_usage"]) == (agent.machine.pk, [], 2.0)
    assert (row["storage_cost"], row["start_date"]) == (0.1, T0.timestamp())
    assert found(anyone)[0]["disk_space"] == 900
    assert api.get("/volumes", type="network_volume").json["volumes"] == []
    assert "data" in api.send("DELETE", f"/volumes/?id={made['id']}", {}).json["msg"]
    assert api.get("/volumes").json["volumes"][0]["status"] == "deleting"
    agent.keep_volumes(T0)
    assert api.get("/volumes").json["volumes"] == []


def test_a_machine_whose_gpus_are_rented_still_has_disk(api: Api, anyone: Api, agent: TestAgent) -> None:
    assert api.put(f"/asks/{market.offer(agent, 4).pk}/", {"image": "x", "disk": 10}).status == 200
    agent.obey(T0)
    (offer,) = found(anyone)
    assert api.put("/volumes/", {"size": 10, "id": offer["id"]}).status == 200
    assert found(anyone, limit=1)[0]["disk_space"] == 980
    assert found(anyone, disk_space={"gte": 981}) == []
    agent.abilities = []
    agent.report(T0)
    assert found(anyone) == []


def test_an_instance_with_a_new_volume_and_one_with_the_same(api: Api, agent: TestAgent) -> None:
    info = {"mount_path": "/root/volume", "create_new": True, "volume_id": market.offer(agent, 4).pk, "size": 15}
    body = {"image": "x", "disk": 10, "volume_info": info | {"name": "data"}}
    made = api.put(f"/asks/{market.offer(agent).pk}/", body).json
    (volume,) = Volume.objects.all()
    agent.keep_volumes(T0)
    linked = {"mount_path": "/mnt/", "create_new": False, "volume_id": volume.pk}
    other = api.put(f"/asks/{market.offer(agent).pk}/", {"image": "y", "volume_info": linked}).json
    by_name = api.put(f"/asks/{market.offer(agent).pk}/", {"image": "z", "env": {"-v data:/data": "1", "A": "b"}}).json
    shown = api.get(f"/instances/{other['new_contract']}/").json["instances"]
    assert shown["volume_info"] == [
        {"id": volume.pk, "name": "data", "mount_path": "/mnt", "total_space": 15, "avail_space": 15.0}
    ]
    third = Instance.objects.get(pk=by_name["new_contract"])
    assert (third.env, third.task.spec["volumes"]) == ({"A": "b"}, [{"volume_id": volume.pk, "path": "/data"}])
    (row,) = api.get("/volumes").json["volumes"]
    assert row["instances"] == [made["new_contract"], other["new_contract"], by_name["new_contract"]]
    refused = api.send("DELETE", f"/volumes/?id={volume.pk}", {})
    assert (refused.status, refused.error) == (409, "volume_in_use")


@pytest.mark.parametrize(
    ("body", "wishes"),
    [
        ({"volume_info": {"mount_path": "/a//b/", "volume_id": "7"}}, (VolumeWish(path="/a/b", volume_id=7),)),
        (
            {"volume_info": {"mount_path": "/a", "create_new": True, "size": 9.5}},
            (VolumeWish(path="/a", new_size_gb=10),),
        ),
        ({"volume_info": {"mount_path": "/a", "name": "x"}}, (VolumeWish(path="/a", name="x"),)),
        (
            {"env": {"-v V.3:/a": "1", "-v x:/b": "1"}},
            (VolumeWish(path="/a", name="V.3"), VolumeWish(path="/b", name="x")),
        ),
        ({"volume_info": None}, ()),
    ],
)
def test_how_volumes_are_told(body: dict[str, Any], wishes: tuple[VolumeWish, ...]) -> None:
    assert rent_request({"image": "x"} | body).volumes == wishes


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"volume_info": {"create_new": True}}, "volume_info"),
        ({"volume_info": {"mount_path": "/a"}}, "volume_info"),
        ({"volume_info": {"mount_path": "/a", "volume_id": "x"}}, "volume_id"),
        ({"volume_info": {"mount_path": "/a", "create_new": True, "size": -1}}, "size"),
        ({"volume_info": {"mount_path": "/a", "colour": 1}}, "colour"),
        ({"volume_info": "x"}, "volume_info"),
        ({"env": {"-v /host:/a": "1"}}, "env"),
        ({"env": {"-v x": "1"}}, "env"),
    ],
)
def test_nonsense_is_refused_by_name(body: dict[str, Any], field: str) -> None:
    with pytest.raises(MarketError) as refusal:
        rent_request({"image": "x"} | body)
    assert (refusal.value.code, refusal.value.field) == ("invalid_args", field)


def test_refusals(api: Api, stranger: Api, host_api: Api, anyone: Api, agent: TestAgent, client_user: User) -> None:
    offer_id = market.offer(agent).pk
    assert anyone.get("/volumes").status == 401
    assert api.put("/volumes/", {"size": 10}).error == "invalid_args"
    assert api.put("/volumes/", {"size": 10, "id": 10**9}).error == "no_such_ask"
    assert host_api.put("/volumes/", {"size": 10, "id": offer_id}).error == "own_machine"
    volume_id = api.put("/volumes/", {"size": 10, "id": offer_id}).json["id"]
    assert stranger.send("DELETE", f"/volumes/?id={volume_id}", {}).error == "no_such_volume"
    linked = {"mount_path": "/mnt", "volume_id": volume_id}
    assert stranger.put(f"/asks/{offer_id}/", {"image": "x", "volume_info": linked}).error == "no_such_volume"
    mounted = {"image": "x", "volume_info": linked | {"mount_path": "/etc"}}
    assert api.put(f"/asks/{offer_id}/", mounted).json["field"] == "volume_info"
    assert api.get("/volumes", type="tape").error == "invalid_args"
    assert Volume.objects.get().owner == client_user


def test_charges_of_a_volume(api: Api, agent: TestAgent, clock: Any) -> None:
    volume_id = api.put("/volumes/", {"size": 720, "id": market.offer(agent).pk, "name": "data"}).json["id"]
    agent.keep_volumes(T0)
    clock.shift(3600)
    when = {"day": {"gte": T0.timestamp() - 86400, "lte": T0.timestamp() + 86400}}
    (row,) = api.get("/charges/", select_filters=when | {"type": {"in": ["volume"]}}).json["results"]
    assert (row["source"], row["type"], row["amount"]) == (f"volume-{volume_id}", "volume", 0.1)
    assert row["description"] == "720 GB, data"
    assert api.get("/charges/", select_filters=when | {"type": {"in": ["instance"]}}).json["results"] == []
