"""Search over HTTP. The language has its own tests in tests/marketplace/test_query_*.py."""

from typing import Any

import pytest

from marketplace.domain.query_fields import FIELDS
from marketplace.offer_json import COPIED
from tests.api.calls import Api
from tests.plumbing import market
from tests.plumbing.market import TestAgent

DEFAULT_QUERY = {
    "external": {"eq": False},
    "rentable": {"eq": True},
    "order": [["score", "desc"]],
    "type": "on-demand",
    "allocated_storage": 5.0,
}
DOCUMENTED_NAMES = """
    id ask_contract_id bundle_id bundled_results machine_id host_id hostname public_ipaddr cluster_id is_bid rentable
    rented external resource_type num_gpus gpu_name gpu_arch gpu_ram gpu_total_ram gpu_frac gpu_lanes gpu_mem_bw
    bw_nvlink gpu_max_power gpu_max_temp gpu_display_active compute_cap cuda_max_good driver_version driver_vers
    cpu_name cpu_arch cpu_ghz has_avx cpu_cores cpu_cores_effective cpu_ram disk_space disk_bw disk_name storage_cost
    storage_total_cost inet_up inet_down inet_up_cost inet_down_cost internet_up_cost_per_tb internet_down_cost_per_tb
    direct_port_count static_ip pci_gen pcie_bw mobo_name os_version dph_base dph_total dph_total_adj
    discounted_dph_total discount_rate discounted_hourly credit_discount_max min_bid dlperf dlperf_per_dphtotal
    total_flops flops_per_dphtotal score reliability reliability2 reliability_mult expected_reliability verification
    vericode is_vm_deverified vms_enabled geolocation geolocode hosting_type duration start_date end_date time_remaining
    time_remaining_isbid search instance avail_vol_ask_id avail_vol_dph avail_vol_size nw_disk_min_bw nw_disk_avg_bw
    nw_disk_max_bw vram_costperhour logo webpage simulated
"""
NUMERIC_IN_TABLES = (
    "cuda_max_good pcie_bw cpu_ghz cpu_cores_effective cpu_ram gpu_ram disk_space dph_total dlperf "
    "dlperf_per_dphtotal score inet_up inet_down reliability duration discounted_dph_total"
)


@pytest.fixture
def offers(agent: TestAgent) -> dict[int, int]:
    """Offer ids by number of GPUs."""
    return {size: market.offer(agent, size).pk for size in (1, 2, 4)}


def found(answer: Any) -> list[int]:
    assert answer.status == 200, answer.json
    return [offer["id"] for offer in answer.json["offers"]]


def test_the_clients_default_search(anyone: Api, offers: dict[int, int]) -> None:
    assert set(found(anyone.post("/bundles/", DEFAULT_QUERY))) == set(offers.values())
    assert found(anyone.post("/bundles/", DEFAULT_QUERY | {"verified": {"eq": True}})) == []
    assert found(anyone.post("/bundles/", {"num_gpus": {"gte": "2"}, "order": [["num_gpus", "desc"]]})) == [
        offers[4],
        offers[2],
    ]


def test_both_search_addresses_and_the_query_in_the_address(anyone: Api, offers: dict[int, int]) -> None:
    query = {"num_gpus": {"eq": "2"}}
    assert found(anyone.post("/bundles/", query)) == [offers[2]]
    assert found(anyone.put("/search/asks/", {"select_cols": ["*"], "q": query})) == [offers[2]]
    assert found(anyone.get("/bundles/", q=query)) == [offers[2]]


def test_chosen_columns(anyone: Api, offers: dict[int, int]) -> None:
    body = {"select_cols": ["id", "num_gpus"], "q": {"num_gpus": 1}}
    assert anyone.put("/search/asks/", body).json["offers"] == [{"id": offers[1], "num_gpus": 1}]
    refused = anyone.put("/search/asks/", {"select_cols": ["num_gpu"], "q": {}})
    assert (refused.status, refused.error) == (400, "invalid_query")
    assert "num_gpus" in refused.json["msg"]


def test_an_offer_has_every_documented_field_and_numbers_are_numbers(anyone: Api, offers: dict[int, int]) -> None:
    (offer,) = anyone.post("/bundles/", {"num_gpus": 2, "allocated_storage": 10}).json["offers"]
    assert set(DOCUMENTED_NAMES.split()) <= set(offer)
    assert set(FIELDS) <= set(offer)
    assert set(COPIED) <= set(offer)
    for name in NUMERIC_IN_TABLES.split():
        assert isinstance(offer[name], int | float), name
    assert offer["id"] == offers[2]
    assert (offer["dph_base"], offer["num_gpus"], offer["gpu_name"]) == (1.0, 2, "RTX 3090")
    assert offer["dph_total"] == pytest.approx(1.0 + 0.1 * 10 / 720)
    assert (offer["geolocation"], offer["simulated"], offer["is_bid"]) == ("Oslo, NO", True, False)
    assert isinstance(offer["num_gpus"], int)


def test_what_is_rented_out_is_found_only_when_asked_for(anyone: Api, api: Api, offers: dict[int, int]) -> None:
    assert api.put(f"/asks/{offers[4]}/", {"image": "ubuntu:22.04"}).status == 200
    assert found(anyone.post("/bundles/", DEFAULT_QUERY)) == []
    assert found(anyone.post("/bundles/", {"rented": {"eq": False}})) == []
    rows = anyone.post("/bundles/", {"rentable": {"eq": "any"}}).json["offers"]
    assert {(row["num_gpus"], row["rentable"], row["rented"]) for row in rows} == {
        (size, False, True) for size in (1, 2, 4)
    }


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"gpu_nme": {"eq": "x"}}, "gpu_name"),
        ({"num_gpus": {"above": 1}}, "above"),
        ({"num_gpus": {"eq": "x"}}, "num_gpus"),
        ({"order": [["prize", "asc"]]}, "prize"),
        ({"limit": "all"}, "limit"),
    ],
)
def test_refusals(anyone: Api, query: dict[str, Any], named: str) -> None:
    for answer in (anyone.post("/bundles/", query), anyone.put("/search/asks/", {"q": query})):
        assert (answer.status, answer.error) == (400, "invalid_query")
        assert named in answer.json["msg"]


@pytest.mark.usefixtures("offers")
def test_gpu_names_and_types(anyone: Api) -> None:
    assert anyone.get("/gpu_names/unique/").json == {"gpu_names": ["RTX 3090"]}
    types = {row["canonical_name"]: row["gpu_ram_mb"] for row in anyone.get("/gpu_types/").json["gpu_types"]}
    assert types["RTX 3090"] == 24576
