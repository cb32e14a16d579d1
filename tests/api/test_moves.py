"""Moves and copies from URLs over the public API."""

import pytest

from marketplace.models import Instance, Move, User
from marketplace.services.lifecycle import instance_stop
from marketplace.services.rent import instance_rent
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent


@pytest.fixture
def instance(agent: TestAgent, client_user: User) -> Instance:
    """It runs."""
    made = instance_rent(client=client_user, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    return Instance.objects.get(pk=made.pk)


def test_a_move_is_asked_for_shown_and_canceled(
    api: Api, stranger: Api, agent: TestAgent, instance: Instance, client_user: User
) -> None:
    path, other = f"/instances/move/{instance.pk}/", market.listed_machine()
    offer_id = market.offer(other).pk
    assert api.get(path).json == {"success": True, "move": None}
    assert api.put(path, {"offer_id": offer_id}).error == "cannot_move"
    instance_stop(instance_id=instance.pk, actor=client_user, now=T0)
    agent.obey(T0)
    assert stranger.put(path, {"offer_id": offer_id}).status == 404
    assert api.put(path, {"offer_id": offer_id, "prize": 1}).error == "invalid_args"
    assert api.put(path, {"offer_id": offer_id, "price": 0.00001}).error == "invalid_price"
    begun = api.put(path, {"offer_id": offer_id, "price": 0.3})
    assert begun.json["success"] is True
    target = Instance.objects.get(pk=begun.json["new_contract"])
    assert (target.rental_type, target.bid_micros_per_hour) == ("interruptible", 300_000)
    shown = api.get(f"/instances/move/{target.pk}/").json["move"]
    assert (shown["source_id"], shown["target_id"], shown["state"]) == (instance.pk, target.pk, "asked")
    assert api.delete(path).json["msg"] == "Canceled."
    assert api.get(path).json["move"]["state"] == "canceled"
    assert api.delete(path).json["msg"] == "No move is under way."
    assert Move.objects.get().settled_at == T0


def test_copies_from_urls_are_asked_for_shown_and_canceled(api: Api, stranger: Api, instance: Instance) -> None:
    path = f"/instances/copy_url/{instance.pk}/"
    assert api.put(path, {"path": "/srv/", "url": "nothing"}).error == "invalid_args"
    assert api.put(path, {"path": "/srv/", "s3": {"bucket": "b", "kye": "k"}}).error == "invalid_args"
    assert stranger.get(path).status == 404
    keys = {"access_key": "AKIA", "secret_key": "s3cret"}
    store = {"endpoint": "https://s3.example.com", "bucket": "data", "key": "a.tar"} | keys
    begun = api.put(path, {"direction": "upload", "path": "/srv/a.tar", "s3": store})
    assert begun.json["success"] is True
    (row,) = api.get(path).json["copies"]
    assert (row["copy_id"], row["state"], row["url"]) == (
        begun.json["copy_id"],
        "asked",
        "https://s3.example.com/data/a.tar",
    )
    assert "s3cret" not in str(row)
    assert api.delete(path, {"copy_id": row["copy_id"]}).json["msg"] == "Canceled."
    assert api.delete(path, {"copy_id": 10**9}).error == "no_such_copy"
    assert api.get(path).json["copies"][0]["state"] == "canceled"
