"""Interruptible rentals and bids over the API."""

from datetime import timedelta

import pytest

from marketplace.services.clearing import dirty_clear
from marketplace.services.placement import WAITS_FOR_ITS_BID
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent


@pytest.fixture
def agent() -> TestAgent:
    return market.listed_machine(gpus=1, min_bid_micros_per_gpu_hour=100_000)


def rent(api: Api, agent: TestAgent, **body: object) -> int:
    answer = api.put(f"/asks/{market.offer(agent).pk}/", {"image": "ubuntu:22.04", "disk": 10} | body)
    assert answer.status == 200, answer
    return int(answer.json["new_contract"])


def test_the_reply_states_what_was_rented(api: Api, stranger: Api, agent: TestAgent) -> None:
    offer = market.offer(agent).pk
    interruptible = api.put(f"/asks/{offer}/", {"image": "ubuntu:22.04", "price": 0.2}).json
    assert (interruptible["rental_type"], interruptible["price"], interruptible["min_bid"]) == (
        "interruptible",
        0.2,
        0.1,
    )
    assert interruptible["dph_total"] == pytest.approx(0.2 + 0.1 * 10 / 720, abs=1e-6)
    assert (interruptible["state"], interruptible["status_msg"]) == ("loading", "Waiting for the machine to start it.")
    fixed = stranger.put(f"/asks/{offer}/", {"image": "ubuntu:22.04", "price": None}).json
    assert (fixed["rental_type"], fixed["price"], fixed["min_bid"]) == ("on_demand", None, None)


def test_a_low_bid_is_refused_with_the_minimum_or_waits_if_asked(api: Api, stranger: Api, agent: TestAgent) -> None:
    rent(stranger, agent, price=0.2)
    offer = market.offer(agent).pk
    refused = api.put(f"/asks/{offer}/", {"image": "ubuntu:22.04", "price": 0.15})
    assert (refused.status, refused.error, refused.json["field"]) == (400, "invalid_price", "price")
    assert "the minimum is $0.210001" in refused.json["msg"]
    for agreed in ("accept_waiting", "force"):
        body = {"image": "ubuntu:22.04", "price": 0.15, "label": agreed, agreed: True}
        waiting = api.put(f"/asks/{offer}/", body).json
        assert (waiting["state"], waiting["min_bid"]) == ("outbid", 0.210001)
        assert waiting["status_msg"] == WAITS_FOR_ITS_BID


@pytest.mark.parametrize(
    ("price", "code"),
    [
        *((price, "invalid_price") for price in (0.51, 0.0009, -1, 0)),
        (1e300, "invalid_args"),
        ("x", "invalid_args"),
        ([], "invalid_args"),
        (True, "invalid_args"),
    ],
)
def test_prices_that_make_no_sense(api: Api, agent: TestAgent, price: object, code: str) -> None:
    body = {"image": "ubuntu:22.04", "price": price}
    refused = api.put(f"/asks/{market.offer(agent).pk}/", body)
    assert (refused.status, refused.error, refused.json["field"]) == (400, code, "price")
    contract = rent(api, agent, price=0.2)
    refused = api.put(f"/instances/bid_price/{contract}/", {"price": price})
    assert (refused.status, refused.error) == (400, code)
    assert api.get(f"/instances/{contract}/").json["instances"]["bid_price"] == 0.2


def test_changing_a_bid(api: Api, stranger: Api, agent: TestAgent) -> None:
    mine, other = rent(api, agent, price=0.2), rent(stranger, agent, price=0.3)
    changed = api.put(f"/instances/bid_price/{mine}/", {"client_id": "me", "price": 0.4}).json
    assert (changed["price"], changed["success"]) == (0.4, True)
    dirty_clear(now=lambda: T0 + timedelta(seconds=1))
    row = api.get(f"/instances/{mine}/").json["instances"]
    assert (row["state"], row["is_bid"], row["bid_price"], row["dph_base"]) == ("loading", True, 0.4, 0.4)
    lost = stranger.get(f"/instances/{other}/").json["instances"]
    statuses = [lost[name] for name in ("actual_status", "intended_status", "cur_state", "next_state")]
    assert (lost["state"], statuses) == ("outbid", ["stopped"] * 4)
    assert lost["min_bid"] == 0.420001
    assert stranger.put(f"/instances/bid_price/{other}", {"price": None}).json["price"] == 0.420001


def test_bids_of_others_and_of_on_demand_instances(api: Api, stranger: Api, agent: TestAgent) -> None:
    mine = rent(api, agent)
    assert stranger.put(f"/instances/bid_price/{mine}/", {"price": 0.3}).error == "no_such_instance"
    assert api.put(f"/instances/bid_price/{mine}/", {"price": 0.3}).error == "wrong_state"
    assert api.put("/instances/bid_price/999999/", {"price": 0.3}).status == 404
    assert api.put(f"/instances/bid_price/{mine}/", {"prize": 0.3}).error == "invalid_args"
    assert Api().put(f"/instances/bid_price/{mine}/", {"price": 0.3}).status == 401


def test_the_search_for_bids_sorts_and_filters_by_the_minimum(api: Api, stranger: Api, agent: TestAgent) -> None:
    cheap = market.listed_machine(gpus=1)
    rent(stranger, agent, price=0.2)
    query = {"type": "bid", "verified": {"eq": "any"}, "order": [["min_bid", "asc"]]}
    rows = api.post("/bundles/", query).json["offers"]
    assert [(row["machine_id"], row["min_bid"], row["dph_base"]) for row in rows] == [
        (cheap.machine.pk, 0.001, 0.001),
        (agent.machine.pk, 0.210001, 0.210001),
    ]
    rows = api.post("/bundles/", query | {"min_bid": {"gte": 0.21}}).json["offers"]
    assert [row["machine_id"] for row in rows] == [agent.machine.pk]
    rows = api.post("/bundles/", query | {"dph_total": {"lte": 0.1}}).json["offers"]
    assert [row["machine_id"] for row in rows] == [cheap.machine.pk]


def test_where_no_bid_would_win_the_offer_says_so(api: Api, stranger: Api, agent: TestAgent) -> None:
    rent(stranger, agent)
    query = {"type": "bid", "verified": {"eq": "any"}, "rentable": {"eq": False}}
    (row,) = api.post("/bundles/", query).json["offers"]
    assert (row["min_bid"], row["dph_total"], row["rented"]) == (None, None, True)
    refused = api.put(f"/asks/{row['id']}/", {"image": "ubuntu:22.04", "price": 0.4})
    assert (refused.status, refused.error) == (410, "no_such_ask")
    waiting = api.put(f"/asks/{row['id']}/", {"image": "ubuntu:22.04", "price": 0.4, "accept_waiting": True}).json
    assert (waiting["status_msg"], waiting["min_bid"]) == (WAITS_FOR_ITS_BID, None)


def test_a_key_marks_retries_of_one_bid(api: Api, agent: TestAgent) -> None:
    path, body = f"/asks/{market.offer(agent).pk}/", {"image": "ubuntu:22.04", "price": 0.2, "accept_waiting": True}
    contracts = [api.put(path, body, key=key).json["new_contract"] for key in ("a", "a", "b")]
    assert contracts[0] == contracts[1] != contracts[2]
    assert api.put(path, body, key="x" * 256).error == "invalid_args"
