"""Invoices, charges, earnings, deposits and transfers over HTTP."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine

from billing.selectors import balance_micros
from billing.services import settle_running
from marketplace.models import Instance, User
from marketplace.services.lifecycle import instance_stop
from marketplace.services.rent import instance_rent
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

HOUR = timedelta(hours=1)
DISK = 1_389
"""Micro-dollars an hour for ten gigabytes."""
LATER = T0 + timedelta(hours=13)
AT = T0.timestamp()
MIDNIGHT = (T0 + 12 * HOUR).timestamp()
DAYS = {"day": {"gte": int(AT), "lte": int(LATER.timestamp())}}
TIMES = {"when": {"gte": int(AT) - 3600, "lte": int(LATER.timestamp())}}


@pytest.fixture
def rented(agent: TestAgent, client_user: User) -> Instance:
    """Four GPUs at $2 for two hours of the afternoon of the second of March, and the disk for ever."""
    offer, wish = market.offer(agent, 4), market.wish(label="sweep")
    instance = instance_rent(client=client_user, offer_id=offer.pk, request=wish, now=T0)
    agent.obey(T0)
    settle_running(now=T0 + HOUR)
    instance_stop(instance_id=instance.pk, actor=client_user, now=T0 + 2 * HOUR)
    agent.obey(T0 + 2 * HOUR)
    settle_running(now=T0 + 12 * HOUR)
    return instance


@pytest.fixture
def later(clock: time_machine.Traveller, rented: Instance) -> Instance:
    """The same, seen an hour after the midnight that followed."""
    clock.move_to(LATER)
    return rented


def test_charges_by_instance(api: Api, later: Instance) -> None:
    answer = api.get("/charges/", select_filters=DAYS, format="table", latest_first=False, limit=20).json
    assert (answer["count"], answer["total"], answer["next_token"]) == (1, 1, None)
    (row,) = answer["results"]
    assert row == {
        "type": "instance",
        "source": f"instance-{later.pk}",
        "description": "4x RTX 3090, sweep",
        "start": MIDNIGHT - 86_400,
        "end": LATER.timestamp(),
        "amount": 4.0 + 13 * DISK / 1e6,
        "metadata": {"instance_id": later.pk},
        "items": [
            {
                "type": kind,
                "source": "",
                "description": name,
                "start": MIDNIGHT - 86_400,
                "end": LATER.timestamp(),
                "amount": amount,
                "items": [],
                "metadata": {},
            }
            for kind, name, amount in (("gpu", "GPU time", 4.0), ("storage", "Disk", 13 * DISK / 1e6))
        ],
    }


@pytest.mark.usefixtures("later")
def test_charges_as_a_tree_of_days(api: Api) -> None:
    (row,) = api.get("/charges/", select_filters=DAYS, format="tree").json["results"]
    assert [(day["description"], day["amount"], day["start"], day["end"]) for day in row["items"]] == [
        ("2026-03-02", 4.0 + 12 * DISK / 1e6, MIDNIGHT - 86_400, MIDNIGHT),
        ("2026-03-03", DISK / 1e6, MIDNIGHT, LATER.timestamp()),
    ]
    assert [[item["type"] for item in day["items"]] for day in row["items"]] == [["gpu", "storage"], ["storage"]]


def every_page(api: Api, path: str, **query: Any) -> list[dict[str, Any]]:
    """The rows of all pages, one behind the other."""
    page = api.get(path, **query).json
    rows = list(page["results"])
    while page["next_token"] is not None:
        page = api.get(path, after_token=page["next_token"], **query).json
        rows += page["results"]
    assert len(rows) == page["total"]
    return rows


def test_charges_page_by_page(api: Api, agent: TestAgent, client_user: User, later: Instance) -> None:
    others = []
    for _ in range(2):
        offer = market.offer(agent, 1)
        others.append(instance_rent(client=client_user, offer_id=offer.pk, request=market.wish(), now=LATER - HOUR))
        agent.obey(LATER - HOUR)
    numbers = [later.pk, *(other.pk for other in others)]
    for latest_first in (False, True):
        rows = every_page(api, "/charges/", select_filters=DAYS, limit=2, latest_first=latest_first)
        found = [row["metadata"]["instance_id"] for row in rows]
        assert found == (numbers[::-1] if latest_first else numbers)
    assert api.get("/charges/", select_filters=DAYS | {"type": {"in": ["volume"]}}).json["results"] == []
    assert api.get("/charges/", select_filters=DAYS | {"type": {"in": ["volume", "instance"]}}).json["total"] == 3


@pytest.mark.usefixtures("later")
def test_invoices_are_what_is_not_use(api: Api, client_user: User) -> None:
    page = api.get("/api/v1/invoices/", select_filters=TIMES, latest_first=False, limit=20).json
    assert (page["count"], page["total"], page["next_token"]) == (1, 1, None)
    (row,) = page["results"]
    assert row["metadata"]["invoice_id"] > 0
    del row["metadata"]
    assert row == {
        "start": AT,
        "end": AT,
        "amount": -100.0,
        "type": "credit",
        "source": "staff",
        "description": "test",
        "items": [],
    }
    market.grant(client_user, 7, T0)
    rows = every_page(api, "/api/v1/invoices/", select_filters=TIMES, latest_first=True, limit=1)
    assert [row["amount"] for row in rows] == [-7.0, -100.0]
    only_transfers = TIMES | {"service": {"in": ["transfer", "bitpay"]}}
    assert api.get("/api/v1/invoices/", select_filters=only_transfers).json["results"] == []


def test_payments_and_charges_in_one_list(api: Api, later: Instance) -> None:
    query = {"owner": "me", "sdate": AT - 1, "edate": LATER.timestamp()}
    answer = api.get("/users/me/invoices", inc_charges=True, **query).json
    shown = [(row["type"], row["timestamp"], row["amount"], row["quantity"], row["rate"]) for row in answer["invoices"]]
    assert shown == [
        ("payment", AT, 100.0, 1.0, 100.0),
        ("charge", MIDNIGHT, 4.0, 2.0, 2.0),
        ("charge", MIDNIGHT, 12 * DISK / 1e6, 12.0, DISK / 1e6),
        ("charge", LATER.timestamp(), DISK / 1e6, 1.0, DISK / 1e6),
    ]
    assert answer["invoices"][1]["description"] == f"Instance {later.pk}: GPU time"
    assert answer["invoices"][1]["instance_id"] == later.pk
    charged = 4.0 + 13 * DISK / 1e6
    assert answer["current"] == {
        "charges": charged,
        "service_fee": 0.0,
        "total": charged,
        "credit": 100 - charged,
    }
    earlier_clock = api.get("/users/me/invoices", **query | {"edate": LATER.timestamp() - 2}).json["invoices"]
    assert earlier_clock == answer["invoices"]
    without = api.get("/users/me/invoices", inc_charges=False, **query).json["invoices"]
    assert [row["type"] for row in without] == ["payment"]
    assert [row["type"] for row in api.get("/users/me/invoices").json["invoices"]] == ["payment"] + ["charge"] * 3


def test_earnings_of_machines(host_api: Api, agent: TestAgent, later: Instance) -> None:  # noqa: ARG001 - it earned
    day = (T0.date() - T0.date().replace(year=1970, month=1, day=1)).days
    disk = 12 * DISK * 3 // 4 / 1e6
    answer = host_api.get("/users/me/machine-earnings", owner="me", sday=day + 0.5, eday=day + 0.5, machid=None).json
    assert answer["summary"] == {"total_gpu": 3.0, "total_stor": disk, "total_bwu": 0.0, "total_bwd": 0.0}
    parts = {"gpu_earn": 3.0, "sto_earn": disk, "bwu_earn": 0.0, "bwd_earn": 0.0}
    assert answer["per_machine"] == [{"machine_id": agent.machine.pk} | parts]
    assert answer["per_day"] == [{"day": day} | parts]
    earned = 3.0 + 13 * DISK * 3 // 4 / 1e6
    assert answer["current"] == {"balance": earned, "service_fee": 0.0, "total": earned, "credit": 0.0}
    both = host_api.get("/users/me/machine-earnings", sday=day, eday=day + 1.9, machid=agent.machine.pk).json
    assert [row["day"] for row in both["per_day"]] == [day, day + 1]
    assert host_api.get("/users/me/machine-earnings").json["per_day"] == [{"day": day} | parts], "yesterday"
    assert host_api.get("/users/me/machine-earnings", sday=day, machid=agent.machine.pk + 1).json["per_day"] == []


def test_what_an_instance_cost(api: Api, stranger: Api, later: Instance) -> None:
    charged = 4.0 + 13 * DISK / 1e6
    assert api.get(f"/instances/balance/{later.pk}/", owner="me").json == {
        "success": True,
        "instance_id": later.pk,
        "balance": 0.0,
        "deposit": 0.0,
        "charged": charged,
        "credit": 100 - charged,
    }
    for refused in (stranger.get(f"/instances/balance/{later.pk}/"), api.get(f"/instances/balance/{10**17}/")):
        assert (refused.status, refused.error) == (404, "no_such_instance")


@pytest.mark.usefixtures("later")
def test_nobody_sees_the_money_of_others(stranger: Api) -> None:
    assert stranger.get("/charges/", select_filters=DAYS).json["results"] == []
    assert [row["amount"] for row in stranger.get("/users/me/invoices").json["invoices"]] == [100.0]
    assert stranger.get("/users/me/machine-earnings", sday=20_000, eday=20_100).json["per_machine"] == []
    assert stranger.post("/contracts/fetch/", {}).json["contracts"] == []


@pytest.mark.parametrize(
    "path",
    ["/users/me/invoices", "/api/v1/invoices/", "/charges/", "/users/me/machine-earnings", "/instances/balance/1/"],
)
def test_money_needs_a_key(anyone: Api, path: str) -> None:
    assert (anyone.get(path).status, anyone.get(path).error) == (401, "not_authenticated")


def test_labels_of_contracts(api: Api, later: Instance) -> None:
    wanted = [{"id": later.pk, "label": "sweep"}]
    found: list[dict[str, Any]] = [{}, {"label": "sweep"}, {"contract_ids": [later.pk, 99]}, {"contract_ids": None}]
    for body in found:
        assert api.post("/contracts/fetch/", body).json["contracts"] == wanted
    nothing: list[dict[str, Any]] = [{"label": "other"}, {"contract_ids": []}, {"contract_ids": [1e15, -1]}]
    for body in nothing:
        assert api.post("/contracts/fetch/", body).json["contracts"] == []
    senseless: list[Any] = ["x", ["x"], [1.5], [10**30], list(range(2_000)), {}]
    for ids in senseless:
        refused = api.post("/contracts/fetch/", {"contract_ids": ids})
        assert (refused.status, refused.json["field"]) == (400, "contract_ids")


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/charges/", {"limit": -1}, "limit"),
        ("/charges/", {"limit": "many"}, "limit"),
        ("/charges/", {"format": "pie"}, "format"),
        ("/charges/", {"select_filters": "x"}, "select_filters"),
        ("/charges/", {"select_filters": {"hour": {}}}, "select_filters"),
        ("/charges/", {"select_filters": {"day": 5}}, "day"),
        ("/charges/", {"select_filters": {"day": {"gte": "soon"}}}, "day"),
        ("/charges/", {"select_filters": {"day": {"gte": AT, "lte": AT - 1}}}, "day"),
        ("/charges/", {"select_filters": {"day": {"gte": AT, "lte": 1e300}}}, "day"),
        ("/charges/", {"select_filters": {"day": {"gte": AT - 9e7, "lte": AT}}}, "day"),
        ("/charges/", {"select_filters": {"type": {"in": ["rocket"]}}}, "type"),
        ("/charges/", {"after_token": "x"}, "after_token"),
        ("/charges/", {"after_token": "WyJpbnN0YW5jZTo5OSJd"}, "after_token"),
        ("/api/v1/invoices/", {"limit": 0}, "limit"),
        ("/api/v1/invoices/", {"select_filters": {"service": {"in": ["x"]}}}, "service"),
        ("/api/v1/invoices/", {"after_token": "WyJ4IiwxXQ=="}, "after_token"),
        ("/api/v1/invoices/", {"after_token": "W10="}, "after_token"),
        ("/api/v1/invoices/", {"latest_first": "maybe"}, "latest_first"),
        ("/users/me/invoices", {"sdate": AT, "edate": AT - 100}, "sdate"),
        ("/users/me/invoices", {"sdate": "x"}, "sdate"),
        ("/users/me/invoices", {"sdate": -1e18}, "sdate"),
        ("/users/me/invoices", {"edate": 1e18}, "edate"),
        ("/users/me/machine-earnings", {"sday": 20_000, "eday": 19_000}, "sday"),
        ("/users/me/machine-earnings", {"sday": 1e12}, "sday"),
        ("/users/me/machine-earnings", {"eday": "x"}, "eday"),
        ("/users/me/machine-earnings", {"machid": 1.5}, "machid"),
        ("/users/me/machine-earnings", {"machid": 10**30}, "machid"),
    ],
)
def test_senseless_questions_are_refused_by_field(api: Api, path: str, query: dict[str, Any], field: str) -> None:
    refused = api.get(path, **query)
    assert (refused.status, refused.json["field"]) == (400, field)
    assert refused.error in ("invalid_args", "invalid_query")


@pytest.fixture
def friend() -> User:
    return market.user("Friend@example.com")


def transfer(api: Api, amount: object, recipient: str = "friend@example.com", key: str = "") -> Any:
    return api.put("/commands/transfer_credit/", {"sender": "me", "recipient": recipient, "amount": amount}, key=key)


def test_credit_is_transferred_once(api: Api, client_user: User, friend: User) -> None:
    first = transfer(api, 25.5)
    assert (first.status, first.json) == (200, {"success": True, "msg": "$25.50 was sent.", "repeated": False})
    again = transfer(api, "25.5", recipient="FRIEND@example.com")
    assert (again.json["repeated"], again.json["msg"]) == (True, "$25.50 was sent already; nothing was sent twice.")
    assert transfer(api, 25.5, key="another").json["repeated"] is False
    assert transfer(api, 25.5, key="another").json["repeated"] is True
    assert (balance_micros(client_user, T0), balance_micros(friend, T0)) == (49_000_000, 51_000_000)
    rows = Api.of(friend).get("/api/v1/invoices/").json["results"]
    assert [(row["type"], row["source"], row["amount"], row["description"]) for row in rows] == [
        ("transfer", "transfer", 25.5, "From client@example.com to friend@example.com")
    ] * 2
    sent = api.get("/api/v1/invoices/", select_filters={"service": {"in": ["transfer"]}}).json["results"]
    assert [row["amount"] for row in sent] == [-25.5, -25.5]


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"amount": 100.000001}, 400, "no_credit"),
        ({"amount": 0}, 400, "invalid_amount"),
        ({"amount": -5}, 400, "invalid_amount"),
        ({"amount": 0.99}, 400, "invalid_amount"),
        ({"amount": 1e30}, 400, "invalid_args"),
        ({"amount": "lots"}, 400, "invalid_args"),
        ({"amount": None}, 400, "invalid_amount"),
        ({"recipient": "nobody@example.com"}, 404, "no_such_account"),
        ({"recipient": "17"}, 404, "no_such_account"),
        ({"recipient": 17}, 400, "invalid_args"),
        ({"recipient": ""}, 404, "no_such_account"),
        ({"recipient": "client@example.com"}, 400, "same_party"),
        ({"sender": "friend@example.com"}, 400, "invalid_args"),
        ({"fee": 1}, 400, "invalid_args"),
    ],
)
def test_senseless_transfers_move_nothing(
    api: Api, client_user: User, friend: User, change: dict[str, Any], status: int, error: str
) -> None:
    body = {"sender": "me", "recipient": "friend@example.com", "amount": 5} | change
    refused = api.put("/commands/transfer_credit/", body)
    assert (refused.status, refused.error) == (status, error)
    assert (balance_micros(client_user, T0), balance_micros(friend, T0)) == (100_000_000, 0)


@pytest.mark.usefixtures("client_user")
def test_gifts_do_not_wander_on(api: Api, friend: User) -> None:
    transfer(api, 10)
    refused = transfer(Api.of(friend), 5, recipient="client@example.com")
    assert (refused.status, refused.error) == (400, "transfer_not_allowed")
    assert balance_micros(friend, T0) == 10_000_000
