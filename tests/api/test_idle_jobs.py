"""Idle jobs ("default jobs"), minimum bids and longer contracts over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from hosting.hooks import market as hooks_market
from hosting.locks import lock_machine
from hosting.models import IdleJob, Listing, Task
from hosting.selectors import free_gpus
from hosting.services.idle_jobs import idle_tasks_apply
from marketplace.models import Instance
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

JOB = {"price_gpu": 0.1, "price_inetu": None, "price_inetd": 0, "image": "ubuntu", "args": ["bash", "-c", "sleep 9"]}


def job(agent: TestAgent, **values: Any) -> dict[str, Any]:
    return {"machine": agent.machine.pk} | JOB | values


def machine_row(host_api: Api) -> dict[str, Any]:
    (row,) = host_api.get("/machines").json["machines"]
    return dict(row)


@pytest.mark.parametrize("slash", ["", "/"])
def test_set_show_and_remove(host_api: Api, agent: TestAgent, slash: str) -> None:
    assert (machine_row(host_api)["idle_job"], machine_row(host_api)["floor_price"]) == (None, 0)
    answer = host_api.put(f"/machines/create_bids{slash}", job(agent))
    assert (answer.status, answer.json["success"]) == (200, True)
    assert "$0.10 per GPU and hour" in answer.json["msg"]
    row = machine_row(host_api)
    assert row["idle_job"] == {"image": "ubuntu", "args": ["bash", "-c", "sleep 9"], "price": 0.1}
    assert (row["floor_price"], row["min_bid_price"]) == (0.1, 0)
    for _ in range(2):
        assert host_api.delete(f"/machines/{agent.machine.pk}/defjob{slash}").json["success"] is True
    assert (machine_row(host_api)["idle_job"], machine_row(host_api)["floor_price"]) == (None, 0)


def test_no_arguments_and_no_price_at_all(host_api: Api, agent: TestAgent) -> None:
    answer = host_api.put("/machines/create_bids/", job(agent, args=None, price_gpu=0))
    assert answer.status == 200
    found = IdleJob.objects.get()
    assert (found.args, found.price_micros_per_gpu_hour) == ([], 0)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"machine": None}, "machine"),
        ({"machine": "x"}, "machine"),
        ({"price_gpu": None}, "price_gpu"),
        ({"price_gpu": "cheap"}, "price_gpu"),
        ({"price_gpu": "nan"}, "price_gpu"),
        ({"price_gpu": 1e300}, "price_gpu"),
        ({"price_gpu": -0.1}, "price_micros_per_gpu_hour"),
        ({"price_gpu": 0.500001}, "price_micros_per_gpu_hour"),
        ({"price_inetu": 0.01}, "price_inetu"),
        ({"price_inetd": -1}, "price_inetd"),
        ({"image": None}, "image"),
        ({"image": "no image!"}, "image"),
        ({"image": 7}, "image"),
        ({"args": "bash"}, "args"),
        ({"args": [1]}, "args"),
        ({"args": ["a\0b"]}, "args"),
        ({"args": ["x"] * 257}, "args"),
        ({"prize_gpu": 1}, "prize_gpu"),
    ],
)
def test_senseless_jobs_are_refused_by_field(
    host_api: Api, agent: TestAgent, values: dict[str, Any], field: str
) -> None:
    refused = host_api.put("/machines/create_bids/", job(agent, **values))
    assert (refused.status, refused.json["field"]) == (400, field)
    assert refused.error in ("invalid_args", "invalid_terms")
    assert not IdleJob.objects.exists()


def test_no_number_at_all_is_no_json(host_api: Api, agent: TestAgent) -> None:
    refused = host_api.send("PUT", "/machines/create_bids/", b'{"machine": %d, "price_gpu": NaN}' % agent.machine.pk)
    assert (refused.status, refused.error) == (400, "invalid_json")


def test_other_peoples_machines_do_not_exist(stranger: Api, agent: TestAgent) -> None:
    pk = agent.machine.pk
    for refused in (
        stranger.put("/machines/create_bids/", job(agent)),
        stranger.delete(f"/machines/{pk}/defjob/"),
        stranger.put(f"/machines/{pk}/minbid/", {"client_id": "me", "price": 0.1}),
    ):
        assert (refused.status, refused.error) == (404, "no_such_machine")
    assert not IdleJob.objects.exists()


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_minimum_bid(host_api: Api, agent: TestAgent, slash: str) -> None:
    path = f"/machines/{agent.machine.pk}/minbid{slash}"
    for price, stored, shown in ((0.2, 200_000, "$0.20"), ("0.5", 500_000, "$0.50"), (None, 0, "$0.00")):
        answer = host_api.put(path, {"client_id": "me", "price": price})
        assert (answer.status, answer.json["success"]) == (200, True)
        assert shown in answer.json["msg"]
        assert Listing.objects.get().min_bid_micros_per_gpu_hour == stored


@pytest.mark.parametrize("price", [-0.01, 0.51, 1e30, "low", True])
def test_senseless_minimum_bids(host_api: Api, agent: TestAgent, price: object) -> None:
    refused = host_api.put(f"/machines/{agent.machine.pk}/minbid/", {"client_id": "me", "price": price})
    assert refused.status == 400
    assert Listing.objects.get().min_bid_micros_per_gpu_hour == 0


def test_a_minimum_bid_needs_a_listing(host_api: Api, agent: TestAgent) -> None:
    host_api.delete(f"/machines/{agent.machine.pk}/asks/")
    refused = host_api.put(f"/machines/{agent.machine.pk}/minbid/", {"price": 0.1})
    assert (refused.status, refused.error) == (409, "not_listed")


def test_letters_of_gpus(host_api: Api, stranger: Api, agent: TestAgent) -> None:
    for _ in range(2):
        assert stranger.put(f"/asks/{market.offer(agent).pk}/", {"image": "ubuntu"}).status == 200
    bidder = Instance.objects.order_by("pk").first()
    assert bidder is not None
    bidder.rental_type, bidder.bid_micros_per_hour, bidder.bid_placed_at = "interruptible", 300_000, T0
    bidder.save()
    host_api.put("/machines/create_bids/", job(agent))
    machine = lock_machine(agent.machine.pk)
    free = [gpu.pk for gpu in free_gpus(machine)]
    idle_tasks_apply(machine=machine, gpu_ids=free, free_gpu_ids=free, now=T0)
    assert Task.objects.filter(kind="idle_job").count() == 2
    agent.machine.gpus.filter(index=3).update(unhealthy_reason="hot")
    assert machine_row(host_api)["gpu_occupancy"] == "I D x E"


def test_listing_with_an_end_extends_contracts(host_api: Api, stranger: Api, agent: TestAgent) -> None:
    assert stranger.put(f"/asks/{market.offer(agent).pk}/", {"image": "ubuntu"}).status == 200

    def listed(**values: Any) -> int:
        body = {"machine": agent.machine.pk, "price_gpu": 0.7} | values
        answer = host_api.put("/machines/create_asks/", body)
        assert answer.status == 200
        return int(answer.json["extended"])

    assert listed() == 0
    assert listed(duration="10 days") == 0
    assert Instance.objects.get().end_at == T0 + timedelta(days=90)
    assert listed(end_date=(T0 + timedelta(days=100)).timestamp()) == 1
    assert Instance.objects.get().end_at == T0 + timedelta(days=100)
    assert listed(duration="1 year") == 1
    instance = Instance.objects.get()
    assert (instance.end_at, instance.gpu_micros_per_hour) == (T0 + timedelta(days=365), 500_000)
    assert hooks_market().contract_ends(agent.machine) == [instance.end_at]
