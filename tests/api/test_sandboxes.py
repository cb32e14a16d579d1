"""The sandbox of a listing, of its offers and of what was rented, in the API."""

import pytest

from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent


@pytest.fixture
def agent() -> TestAgent:
    facts = market.inventory(1, sandboxes={"gvisor": "", "kata": "No."}, user_namespaces=True)
    agent = TestAgent(market.register(market.user(), facts))
    agent.report(T0)
    return agent


def sandboxes(api: Api, wanted: object) -> list[str | None]:
    """Of the offers found."""
    return [offer["sandbox"] for offer in api.post("/bundles/", {"sandbox": wanted}).json["offers"]]


def test_a_host_lists_with_a_sandbox_and_clients_search_for_it(host_api: Api, api: Api, agent: TestAgent) -> None:
    market.listed_machine(gpus=1)
    pk = agent.machine.pk
    body = {"machine": pk, "price_gpu": 0.4}
    assert host_api.put("/machines/create_asks/", body | {"sandbox": "GVisor"}).status == 200
    (machine,) = host_api.get("/machines").json["machines"]
    assert (machine["sandboxes"], machine["user_namespaces"]) == (["gvisor"], True)
    assert machine["listed_sandbox"] == "gvisor"
    assert sandboxes(api, {"eq": "gvisor"}) == ["gvisor"]
    assert sandboxes(api, {"neq": "none"}) == ["gvisor"]
    assert sandboxes(api, {"eq": "none"}) == [None]
    assert sandboxes(api, {"eq": "kata"}) == []
    assert host_api.put("/machines/create_asks/", body | {"price_gpu": 0.3}).status == 200
    assert sandboxes(api, {"eq": "gvisor"}) == ["gvisor"], "what the body leaves out stays"
    offer = market.offer(agent)
    rented = api.put(f"/asks/{offer.pk}/", {"image": "ubuntu", "disk": 10}).json
    assert api.get(f"/instances/{rented['new_contract']}").json["instances"]["sandbox"] == "gvisor"


@pytest.mark.parametrize("sandbox", ["kata", "jail", 7, "x" * 999])
def test_what_the_machine_does_not_have_is_refused(host_api: Api, agent: TestAgent, sandbox: object) -> None:
    body = {"machine": agent.machine.pk, "price_gpu": 0.4, "sandbox": sandbox}
    refused = host_api.put("/machines/create_asks/", body)
    assert (refused.status, refused.error, refused.json["field"]) == (400, "invalid_terms", "sandbox")
