"""What of a machine is free, as hosts see it on pages and in the API."""

import pytest
from django.test import Client

from marketplace.models import User
from marketplace.services.rent import instance_rent
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, text

pytestmark = pytest.mark.django_db


def url(agent: TestAgent, what: str = "room") -> str:
    return f"/host/machines/{agent.machine.pk}/{what}/"


def test_a_host_sees_what_is_free_and_cleans_up(host_web: Client, agent: TestAgent, renter: User) -> None:
    instance_rent(client=renter, offer_id=market.offer(agent, 1).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    assert "Defragment, clean up" in text(host_web.get(f"/host/machines/{agent.machine.pk}/"))
    shown = text(host_web.get(url(agent), headers=HTMX))
    assert "3 of 4 GPUs are free; 1 rented on demand. One rental can have up to 3 together, wherever they sit" in shown
    assert "On offer now: 1, 2 at once." in shown
    assert "Left of expired contracts Nothing." in shown
    assert host_web.post(url(agent, "cleanup"), headers=HTMX).headers["HX-Refresh"] == "true"
    assert host_web.post(url(agent, "cleanup")).status_code == 302
    assert "Nothing is left of expired contracts." in text(host_web.get(f"/host/machines/{agent.machine.pk}/"))


def test_others_see_and_do_nothing(web: Client, client: Client, agent: TestAgent) -> None:
    assert web.get(url(agent)).status_code == 404
    assert web.post(url(agent, "cleanup")).status_code == 404
    client.logout()
    assert client.get(url(agent)).status_code == 302
    assert client.post(url(agent, "cleanup")).status_code == 302


def test_the_api_tells_the_truth_about_defragmenting(agent: TestAgent, renter: User) -> None:
    host_api, stranger = Api.of(agent.machine.host), Api.of(renter)
    instance_rent(client=renter, offer_id=market.offer(agent, 2).pk, request=market.wish(), now=T0)
    agent.obey(T0)
    number = agent.machine.pk
    for body in ({"machine_ids": [number, number]}, {}):
        answer = host_api.put("/machines/defrag_offers/", body).json
        assert answer["msg"].startswith(f"Machine {number}: 2 of 4 GPUs are free; 2 rented on demand.")
        row = {
            "machine_id": number,
            "num_gpus": 4,
            "free_gpus": 2,
            "rented_on_demand": 2,
            "rented_by_bids": 0,
            "largest_rentable": 2,
            "offered_sizes": [1, 2],
            "moved": 0,
        }
        assert answer["machines"] == [row]
    assert stranger.put("/machines/defrag_offers/", {}).json["msg"] == "You have no machines."
    assert stranger.put("/machines/defrag_offers/", {"machine_ids": [number]}).error == "no_such_machine"
    nonsense: list[object] = ["1", [True], ["1"], [0], [10**30], {}]
    for rubbish in nonsense:
        assert host_api.put("/machines/defrag_offers/", {"machine_ids": rubbish}).error == "invalid_args", rubbish


def test_the_api_cleans_up(agent: TestAgent, renter: User) -> None:
    path = f"/machines/{agent.machine.pk}/cleanup/"
    answer = Api.of(agent.machine.host).put(path).json
    assert answer["success"] is True
    assert (answer["msg"], answer["ended"]) == ("Nothing is left of expired contracts.", 0)
    assert Api.of(renter).put(path).error == "no_such_machine"
