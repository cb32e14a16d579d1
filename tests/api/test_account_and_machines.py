"""The account, and a host's machines, over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from billing.models import AutoBilling, Card, PayoutMethod
from hosting.models import Listing
from marketplace.models import User
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent


def test_the_account(api: Api) -> None:
    account = api.get("/users/current").json
    assert (account["email"], account["credit"], account["balance"]) == ("client@example.com", 100.0, 100.0)
    assert account["host_agreement_accepted"] is False
    assert "api_key" not in account
    assert (account["has_billing"], account["last4"], account["balance_threshold_enabled"]) == (False, None, False)
    assert (account["has_payout"], account["paypal_email"]) == (False, None)


def test_the_account_tells_of_its_card_and_auto_billing(api: Api, client_user: User) -> None:
    card = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030, "added_at": T0}
    Card.objects.create(owner=client_user, provider_id="pm_1", is_default=True, **card)
    AutoBilling.objects.create(owner=client_user, enabled=True, threshold_micros=7_500_000)
    account = api.get("/users/current").json
    assert (account["has_billing"], account["last4"]) == (True, "4242")
    assert (account["balance_threshold"], account["balance_threshold_enabled"]) == (7.5, True)


def test_machines(host_api: Api, stranger: Api, agent: TestAgent) -> None:
    rented = stranger.put(f"/asks/{market.offer(agent, 2).pk}/", {"image": "ubuntu"})
    assert rented.status == 200
    (row,) = host_api.get("/machines", owner="me").json["machines"]
    assert host_api.get(f"/machines/{agent.machine.pk}").json == [row]
    assert (row["id"], row["num_gpus"], row["gpu_name"]) == (agent.machine.pk, 4, "RTX 3090")
    assert row["gpu_occupancy"] == "D D x x"
    assert (row["listed_gpu_cost"], row["listed_inet_up_cost"], row["listed"]) == (0.5, 0.01, True)
    assert isinstance(row["hostname"], str)
    assert (row["reliability2"], row["credit_discount_max"], row["num_reports"]) == (0.8855, 0.0, 0)
    assert row["reliability_lower"] == 0.7963


def test_other_peoples_machines_do_not_exist(stranger: Api, agent: TestAgent) -> None:
    assert stranger.get("/machines").json["machines"] == []
    pk = agent.machine.pk
    for refused in (
        stranger.get(f"/machines/{pk}"),
        stranger.put("/machines/create_asks/", {"machine": pk, "price_gpu": 1}),
        stranger.delete(f"/machines/{pk}/asks/"),
    ):
        assert (refused.status, refused.error) == (404, "no_such_machine")
    assert Listing.objects.get().gpu_micros_per_hour == 500_000


def test_unlisting_and_listing_again_keeps_the_other_terms(host_api: Api, anyone: Api, agent: TestAgent) -> None:
    pk = agent.machine.pk
    assert host_api.delete(f"/machines/{pk}/asks/").json["success"] is True
    assert anyone.post("/bundles/").json["offers"] == []
    assert host_api.get("/machines").json["machines"][0]["listed_gpu_cost"] is None
    body = {"machine": pk, "price_gpu": 0.1, "price_disk": None, "min_chunk": 2, "price_min_bid": 0.05}
    answer = host_api.put("/machines/create_asks/", body)
    assert (answer.json["success"], answer.json["extended"]) == (True, 0)
    offers = anyone.post("/bundles/", {"order": [["num_gpus", "asc"]]}).json["offers"]
    assert [(offer["num_gpus"], offer["dph_base"], offer["min_bid"]) for offer in offers] == [
        (2, 0.2, 0.1),
        (4, 0.4, 0.2),
    ]
    assert Listing.objects.get().end_at == T0 + timedelta(days=90)


def test_the_account_tells_where_its_payouts_go(host_api: Api, agent: TestAgent) -> None:
    method = PayoutMethod(host=agent.machine.host, provider="paypal", country="DE", account_id="P1", changed_at=T0)
    method.label = "host@paypal.example"
    method.save()
    account = host_api.get("/users/current").json
    assert (account["has_payout"], account["paypal_email"]) == (False, "host@paypal.example")
    PayoutMethod.objects.update(state="ready")
    assert host_api.get("/users/current").json["has_payout"] is True


@pytest.mark.parametrize(
    ("body", "end"),
    [
        ({"duration": "2 weeks"}, timedelta(days=14)),
        ({"duration": "1 month"}, timedelta(days=30)),
        ({"duration": 86400}, timedelta(days=1)),
        ({"duration": "86400"}, timedelta(days=1)),
        ({"end_date": (T0 + timedelta(days=5)).timestamp()}, timedelta(days=5)),
        ({}, timedelta(days=90)),
    ],
)
def test_end_dates(host_api: Api, agent: TestAgent, body: dict[str, Any], end: timedelta) -> None:
    assert host_api.put("/machines/create_asks/", {"machine": agent.machine.pk, "price_gpu": 0.3} | body).status == 200
    assert Listing.objects.get().end_at == T0 + end


def test_a_first_listing_has_usual_terms_for_what_is_left_out(api: Api, client_user: User) -> None:
    machine = market.register(client_user)
    refused = api.put("/machines/create_asks/", {"machine": machine.pk})
    assert refused.json["field"] == "price_gpu"
    assert api.put("/machines/create_asks/", {"machine": machine.pk, "price_gpu": "0.123456"}).status == 200
    listing = Listing.objects.get()
    assert (listing.gpu_micros_per_hour, listing.storage_micros_per_gb_month, listing.min_gpus) == (123456, 100_000, 1)
    assert listing.end_at == T0 + timedelta(days=90)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"machine": None}, "machine"),
        ({"machine": "x"}, "machine"),
        ({"price_gpu": "cheap"}, "price_gpu"),
        ({"price_gpu": 1e30}, "price_gpu"),
        ({"price_gpu": 0}, "gpu_micros_per_hour"),
        ({"price_gpu": -1}, "gpu_micros_per_hour"),
        ({"min_chunk": 1.5}, "min_chunk"),
        ({"min_chunk": 9}, "min_gpus"),
        ({"duration": "a while"}, "duration"),
        ({"duration": 1e30}, "duration"),
        ({"duration": 5, "end_date": 5}, "duration"),
        ({"end_date": 1e30}, "end_date"),
        ({"end_date": 5}, "end_at"),
        ({"credit_discount_max": 0.4}, "credit_discount_max"),
        ({"vol_size": 100}, "vol_size"),
        ({"prize_gpu": 1}, "prize_gpu"),
    ],
)
def test_senseless_terms_are_refused_by_field(
    host_api: Api, agent: TestAgent, body: dict[str, Any], field: str
) -> None:
    before = Listing.objects.values().get()
    refused = host_api.put("/machines/create_asks/", {"machine": agent.machine.pk} | body)
    assert (refused.status, refused.json["field"]) == (400, field)
    assert refused.error in ("invalid_args", "invalid_terms")
    assert Listing.objects.values().get() == before


def test_auto_billing_is_set(api: Api, client_user: User) -> None:
    assert api.put("/users/", {"balance_threshold_enabled": True}).error == "no_card"
    card = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030, "added_at": T0}
    Card.objects.create(owner=client_user, provider_id="pm_1", is_default=True, **card)
    done = api.put("/users/", {"balance_threshold": 12.5, "balance_threshold_enabled": True, "fullname": "Ada"}).json
    assert (done["balance_threshold"], done["balance_threshold_enabled"], done["fullname"]) == (12.5, True, "Ada")
    assert api.put("/users/", {"balance_threshold": -1}).error == "invalid_amount"
    assert api.put("/users/", {"balance_treshold": 1}).error == "invalid_args"
    assert api.put("/users/", {"balance_threshold_enabled": False}).status == 200
    account = api.get("/users/current").json
    assert (account["balance_threshold"], account["balance_threshold_enabled"]) == (12.5, False)
