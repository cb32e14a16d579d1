"""Sandboxes on the pages of hosts and clients."""

import html

import pytest
from django.test import Client

from hosting.models import Listing
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

pytestmark = pytest.mark.django_db
PRICES = {
    "gpu_micros_per_hour": "0.4",
    "storage_micros_per_gb_month": "0.1",
    "inet_up_micros_per_gb": "0.01",
    "inet_down_micros_per_gb": "0.01",
    "min_gpus": "1",
    "end_at": "2026-04-30",
}


@pytest.fixture
def agent() -> TestAgent:
    """A machine that is not listed yet, with a sandbox that works and one that does not."""
    facts = market.inventory(1, sandboxes={"gvisor": "", "kata": "No."}, user_namespaces=True)
    agent = TestAgent(market.register(market.user(), facts))
    agent.report(T0)
    return agent


def text(browser: Client, path: str) -> str:
    return html.unescape(browser.get(path).content.decode())


def test_a_host_chooses_one_that_works(host_web: Client, agent: TestAgent) -> None:
    prices = f"/host/machines/{agent.machine.pk}/prices/"
    page = text(host_web, prices)
    assert "This machine has gVisor." in page
    assert "Kata Containers can't be used here now: No." in page
    refused = host_web.post(prices, PRICES | {"sandbox": "kata"})
    assert refused.status_code == 422
    assert "Kata Containers can't be used on this machine: No." in html.unescape(refused.content.decode())
    assert not Listing.objects.exists()
    host_web.post(prices, PRICES | {"sandbox": "gvisor"})
    assert Listing.objects.get().sandbox == "gvisor"
    assert '<option value="gvisor" selected>' in text(host_web, prices)


def test_clients_see_it_and_filter_by_it(host_web: Client, web: Client, agent: TestAgent) -> None:
    market.listed_machine(gpus=1)
    host_web.post(f"/host/machines/{agent.machine.pk}/prices/", PRICES | {"sandbox": "gvisor"})
    offer = market.offer(agent)
    found = {query: text(web, f"/?sandbox={query}").count('<article class="offer') for query in ("", "yes", "gvisor")}
    assert found == {"": 2, "yes": 1, "gvisor": 1}
    assert "gVisor</span>" in text(web, "/?sandbox=gvisor")
    assert '<article class="offer' not in text(web, "/?sandbox=kata")
    assert "<dt>Sandbox</dt><dd>gVisor</dd>" in text(web, f"/offers/{offer.pk}/rent/")


def test_a_machine_without_the_listed_one_says_why_it_is_off_the_market(host_web: Client, agent: TestAgent) -> None:
    pk = agent.machine.pk
    host_web.post(f"/host/machines/{pk}/prices/", PRICES | {"sandbox": "gvisor"})
    page = text(host_web, f"/host/machines/{pk}/")
    assert "gVisor, chosen for guests" in page
    assert "root in a container is an ordinary user here" in page
    (gpu,) = agent.machine.gpus.all()
    agent.report(T0, inventory=market.inventory(gpus=[market.gpu(uuid=gpu.uuid)]))
    assert "The machine is off the market: The machine's container engine has no gVisor." in text(
        host_web, f"/host/machines/{pk}/"
    )
    assert "Off the market: its sandbox can't be used" in text(host_web, "/host/machines/")


def test_the_help_tells_hosts_what_to_type(web: Client) -> None:
    assert "runsc install -- --overlay2=none --file-access=shared --nvproxy=true" in text(web, "/help/")
