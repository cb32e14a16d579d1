"""A host's guests run in the sandbox that was listed, or not at all."""

import pytest

from agent.protocol import Inventory
from agent.sandbox_protocol import SANDBOXES
from hosting.domain.sandboxes import NONE, TITLES, reported, sandbox_problem
from hosting.errors import HostingError
from hosting.models import MachineEvent
from hosting.selectors import listed_sandbox_problem
from hosting.services.listing import listing_set
from marketplace.models import Offer
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent

WHY = "Its runtime runsc needs --nvproxy=true."


def agent_with(**sandboxes: str) -> TestAgent:
    machine = market.register(market.user(), market.inventory(2, sandboxes=sandboxes))
    agent = TestAgent(machine)
    agent.report(T0, inventory=facts(agent, **sandboxes))
    return agent


def facts(agent: TestAgent, **sandboxes: str) -> Inventory:
    """What the machine is, with other sandboxes."""
    gpus = [market.gpu(gpu.index, uuid=gpu.uuid) for gpu in agent.machine.gpus.order_by("index")]
    return market.inventory(gpus=gpus, sandboxes=sandboxes)


def list_it(agent: TestAgent, sandbox: str) -> None:
    listing_set(machine_id=agent.machine.pk, host=agent.machine.host, terms=market.terms(sandbox=sandbox), now=T0)


def live() -> list[tuple[int, str]]:
    return sorted(Offer.objects.filter(retired_at=None).values_list("num_gpus", "sandbox"))


def test_both_ends_know_the_same_sandboxes() -> None:
    assert tuple(TITLES) == SANDBOXES


def test_only_known_sandboxes_are_kept_and_cut() -> None:
    assert reported({"kata": "x" * 999, "jail": "", "gvisor": ""}) == {"gvisor": "", "kata": "x" * 300}


@pytest.mark.parametrize(
    ("sandbox", "there", "said"),
    [
        ("none", {}, ""),
        ("gvisor", {"gvisor": ""}, ""),
        ("gvisor", {"gvisor": WHY}, "gVisor can't be used on this machine: " + WHY),
        ("gvisor", {"kata": ""}, "no gVisor"),
        ("jail", {"gvisor": ""}, "no such sandbox"),
    ],
)
def test_a_choice_is_refused_with_a_reason(sandbox: str, there: dict[str, str], said: str) -> None:
    problem = sandbox_problem(sandbox, there)
    assert said in problem
    assert bool(problem) is bool(said)


@pytest.mark.django_db
def test_offers_and_containers_have_the_sandbox_of_the_listing() -> None:
    agent = agent_with(gvisor="")
    list_it(agent, "gvisor")
    assert live() == [(1, "gvisor"), (2, "gvisor")]
    offer = Offer.objects.get(num_gpus=1, retired_at=None)
    instance_rent(client=market.user(dollars=10), offer_id=offer.pk, request=market.wish(), now=T0)
    (task,) = agent.report(T0).tasks
    assert task.spec.sandbox == "gvisor"


@pytest.mark.django_db
@pytest.mark.parametrize("there", [{}, {"gvisor": WHY}])
def test_a_sandbox_that_the_machine_does_not_have_is_refused(there: dict[str, str]) -> None:
    agent = agent_with(**there)
    with pytest.raises(HostingError) as refusal:
        list_it(agent, "gvisor")
    assert refusal.value.field == "sandbox"
    assert live() == []


@pytest.mark.django_db
def test_another_sandbox_makes_other_offers() -> None:
    agent = agent_with(gvisor="", kata="")
    list_it(agent, "gvisor")
    before = set(Offer.objects.values_list("pk", flat=True))
    list_it(agent, "kata")
    assert live() == [(1, "kata"), (2, "kata")]
    assert not before & set(Offer.objects.filter(retired_at=None).values_list("pk", flat=True))


@pytest.mark.django_db
def test_a_machine_that_loses_its_sandbox_is_off_the_market_until_it_is_back() -> None:
    agent = agent_with(gvisor="")
    list_it(agent, "gvisor")
    agent.report(T0, inventory=facts(agent, gvisor=WHY))
    agent.machine.refresh_from_db()
    assert live() == []
    assert WHY in listed_sandbox_problem(agent.machine)
    agent.report(T0, inventory=facts(agent))
    assert live() == []
    agent.report(T0, inventory=facts(agent, gvisor=""))
    agent.machine.refresh_from_db()
    assert live() == [(1, "gvisor"), (2, "gvisor")]
    assert listed_sandbox_problem(agent.machine) == ""
    assert MachineEvent.objects.filter(kind="inventory", details__columns=["sandboxes"]).count() == 3


@pytest.mark.django_db
def test_without_a_sandbox_listed_it_does_not_matter_which_there_are() -> None:
    agent = agent_with(gvisor="")
    list_it(agent, NONE)
    agent.report(T0, inventory=facts(agent))
    assert live() == [(1, ""), (2, "")]
