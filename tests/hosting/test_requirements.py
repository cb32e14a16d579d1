"""What a machine must have to be verified."""

from dataclasses import fields, replace

import msgspec
import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from agent.installer import toolkit
from agent.protocol import PROTOCOL_VERSION, Inventory, decode, encode
from agent.register_protocol import CheckReply, CheckRequest
from hosting.domain.requirements import MINIMUMS, Facts, Minimum, check, facts_of, lacks, toolkit_number, version_number
from hosting.machine_claims import facts_of_machine
from tests.plumbing import market

CHECK = "/api/agent/v1/check"
ENOUGH = Facts(
    gpus=1,
    compute_capability=6.0,
    vram_mb=4_000,
    cuda_version=12.0,
    cpu_cores=2,
    ram_mb=4_000,
    disk_gb=30,
    disk_mbps=100,
    inet_down_mbps=10,
    inet_up_mbps=5,
    ports=4,
    toolkit=1_017_008,
)


def test_just_enough_is_enough() -> None:
    assert lacks(ENOUGH) == []


@pytest.mark.parametrize("name", [field.name for field in fields(Facts)])
def test_less_of_anything_is_too_little_and_says_what_to_do(name: str) -> None:
    (missing,) = (
        lacks(replace(ENOUGH, **{name: getattr(ENOUGH, name) * 0.9}))
        if name != "gpus"
        else lacks(replace(ENOUGH, gpus=0))
    )
    assert (missing.met, len(missing.remedy) > 20) == (False, True)


@given(st.sampled_from(MINIMUMS), st.floats(0, 1e6), st.integers(1, 16))
def test_more_never_hurts(minimum: Minimum, more: float, gpus: int) -> None:
    """Whatever a machine has more of, per GPU, it meets what it met."""
    larger = Facts(
        gpus=gpus,
        compute_capability=6.0 + more,
        vram_mb=4_000 + round(more),
        cuda_version=12.0 + more,
        cpu_cores=gpus * (2 + round(more)),
        ram_mb=gpus * (4_000 + round(more)),
        disk_gb=gpus * (30 + round(more)),
        disk_mbps=100 + more,
        inet_down_mbps=10 + more,
        inet_up_mbps=5 + more,
        ports=gpus * (4 + round(more)),
        toolkit=1_017_008 + round(more),
    )
    judged = minimum.check(larger)
    assert judged is not None
    assert judged.met


@pytest.mark.parametrize(
    ("version", "met"), [("1.17.8", True), ("1.18.0-rc.1", True), ("1.17.7", False), ("1.9.10", False)]
)
def test_a_toolkit_that_guests_break_out_of_is_too_old(version: str, met: bool) -> None:
    told = {one.title: one for one in check(replace(ENOUGH, toolkit=toolkit_number(version)))}[
        "NVIDIA container toolkit"
    ]
    assert (told.needs, told.has, told.met) == (toolkit.LEAST, version.partition("-")[0], met)


@pytest.mark.parametrize("version", ["", "unknown", "1.17", "1.1788.0"])
def test_a_toolkit_that_is_not_told_is_not_judged(version: str) -> None:
    facts = replace(ENOUGH, toolkit=toolkit_number(version))
    assert "NVIDIA container toolkit" not in {one.title for one in check(facts)}
    assert lacks(facts) == []


@pytest.mark.django_db
def test_what_a_machine_s_agent_tells_of_the_toolkit_is_kept() -> None:
    host = market.user()
    told = msgspec.structs.replace(market.inventory(1), toolkit_version="1.17.4")
    machine = market.register(host, told)
    assert machine.toolkit_version == "1.17.4"
    assert [one.title for one in lacks(facts_of_machine(machine))] == ["NVIDIA container toolkit"]


def test_agents_that_know_no_toolkit_are_understood() -> None:
    told = msgspec.json.decode(encode(market.inventory(1)))
    del told["toolkit_version"]
    assert decode(Inventory, msgspec.json.encode(told)).toolkit_version == ""


@pytest.mark.parametrize(("text", "number"), [("12.4", 12.4), ("8.6", 8.6), ("12.4.1", 12.4), ("", 0), ("new", 0)])
def test_versions_as_numbers(text: str, number: float) -> None:
    assert version_number(text) == number


@pytest.mark.django_db
def test_a_machine_in_the_database_has_what_its_agent_said() -> None:
    inventory = market.inventory(4)
    assert facts_of_machine(market.register(market.user(), inventory)) == facts_of(inventory, inventory.gpus)


@pytest.mark.django_db
def test_anyone_may_ask_and_rubbish_is_refused(client: Client) -> None:
    inventory = market.inventory(2)
    request = CheckRequest(protocol=PROTOCOL_VERSION, agent_version="1", inventory=inventory)
    answer = client.post(CHECK, encode(request), content_type="application/json")
    assert decode(CheckReply, answer.content).requirements == check(facts_of(inventory, inventory.gpus))
    wrong = client.post(CHECK, b'{"inventory": 7}', content_type="application/json")
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_message")
    newer = client.post(CHECK, b'{"protocol": 99}', content_type="application/json")
    assert (newer.status_code, newer.json()["error"]) == (426, "unsupported_protocol")
