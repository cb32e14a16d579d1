"""The search language: what clients send, and what comes of it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.domain.query import (
    BEST_FIRST,
    DEFAULT_LIMIT,
    MAX_CONDITIONS,
    MAX_LIMIT,
    RENTABLE,
    Condition,
    Order,
    Pricing,
    parse_query,
)
from marketplace.domain.query_fields import ALIASES, FIELDS, OPERATOR_NAMES, OPERATORS_OF, Kind
from marketplace.domain.query_values import MAX_VALUES
from marketplace.errors import MarketError


def conditions(body: dict[str, Any]) -> list[Condition]:
    return [c for c in parse_query(body).conditions if c != RENTABLE]


def refusal(body: object) -> MarketError:
    with pytest.raises(MarketError) as caught:
        parse_query(body)
    assert caught.value.code == "invalid_query"
    assert caught.value.status == 400
    return caught.value


def test_the_body_the_client_sends() -> None:
    query = parse_query(
        {
            "verified": {"eq": True},
            "external": {"eq": False},
            "rentable": {"eq": True},
            "num_gpus": {"eq": "1"},
            "gpu_name": {"eq": "RTX 3090"},
            "order": [["score", "desc"]],
            "type": "on-demand",
            "allocated_storage": 5.0,
        }
    )
    assert query.conditions == (
        Condition("verified", "eq", True),
        Condition("external", "eq", False),
        Condition("rentable", "eq", True),
        Condition("num_gpus", "eq", 1.0),
        Condition("gpu_name", "eq", "rtx 3090"),
        Condition("disk_space", "gte", 5.0),
    )
    assert query.order == (Order("score", descending=True),)
    assert (query.limit, query.pricing, query.storage_gb) == (DEFAULT_LIMIT, Pricing.ON_DEMAND, 5.0)


def test_an_empty_query_finds_what_can_be_rented_best_first() -> None:
    query = parse_query({})
    assert query.conditions == (RENTABLE,)
    assert query.order == BEST_FIRST


@pytest.mark.parametrize("name", sorted(OPERATOR_NAMES))
def test_every_operator_by_every_name(name: str) -> None:
    operator = OPERATOR_NAMES[name]
    expected: Any = (2.0,) if operator in ("in", "notin") else 2.0
    assert conditions({"num_gpus": {name: "2"}}) == [Condition("num_gpus", operator, expected)]
    assert conditions({"num_gpus": {f"  {name.upper()} ": 2}}) == [Condition("num_gpus", operator, expected)]


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_every_alias(alias: str) -> None:
    field = ALIASES[alias]
    assert conditions({alias: {"eq": None}}) == [Condition(field, "eq", None)]
    assert parse_query({"order": [[alias, "asc"]]}).order == (Order(field),)


@pytest.mark.parametrize(
    ("field", "sent", "means"),
    [
        ("num_gpus", "1", 1.0),
        ("reliability", "0.98", 0.98),
        ("gpu_ram", 24000.0, 24000.0),
        ("dph", " 0.3 ", 0.3),
        ("cpu_ram_GB", "64", 64000.0),
        ("gpu_ram_GB", 24, 24000.0),
        ("verified", "true", True),
        ("verified", "False", False),
        ("has_avx", 1, True),
        ("datacenter", "0", False),
        ("gpu_name", "RTX_4090", "rtx 4090"),
        ("gpu_name", '"RTX 4090"', "rtx 4090"),
        ("driver_version", "535.86.05", 535086005.0),
        ("driver_version", 535086005, 535086005.0),
        ("driver_vers", "535086005", 535086005.0),
        ("driver_version", "535", 535000000.0),
        ("ubuntu_version", "22.04", (22, 4)),
        ("geolocation", "se", "SE"),
        ("geolocation", "Stockholm, SE", "SE"),
        ("static_ip", None, None),
        ("mobo_name", "None", None),
    ],
)
def test_values_become_what_their_field_compares_with(field: str, sent: object, means: object) -> None:
    assert [c.value for c in conditions({field: {"eq": sent}})] == [means]


def test_several_bounds_in_one_field_all_hold() -> None:
    assert conditions({"disk_space": {"gte": 1, "gt": "50"}}) == [
        Condition("disk_space", "gte", 1.0),
        Condition("disk_space", "gt", 50.0),
    ]


@pytest.mark.parametrize("word", ["any", "?", "*", "ANY"])
def test_the_wildcard_with_eq_demands_nothing(word: str) -> None:
    assert parse_query({"rentable": {"eq": word}, "verified": {"eq": word}}).conditions == ()


def test_bare_values_mean_eq_and_bare_lists_in() -> None:
    assert conditions({"num_gpus": 1, "gpu_name": ["A", "B"]}) == [
        Condition("num_gpus", "eq", 1.0),
        Condition("gpu_name", "in", ("a", "b")),
    ]


def test_lists_come_as_lists_or_text() -> None:
    expected = [Condition("geolocation", "notin", ("CN", "VN"))]
    assert conditions({"geolocation": {"notin": ["CN", "'VN'"]}}) == expected
    assert conditions({"geolocation": {"not in": "[CN, VN]"}}) == expected


@pytest.mark.parametrize(
    ("sent", "order"),
    [
        ([["dph_total", "asc"], ["dlperf_per_dphtotal", "desc"]], "dph_total+ dlperf_per_dphtotal-"),
        ([["dph", "DESC"]], "dph_total-"),
        (["dph_total", "desc"], "dph_total-"),
        (["dph", "num_gpus-"], "dph_total+ num_gpus-"),
        ("dph,dlperf_usd-", "dph_total+ dlperf_per_dphtotal-"),
        ([{"col": "id", "dir": "desc"}], "id-"),
        ([["auto", "desc"]], "score-"),
        ([], "score-"),
        (None, "score-"),
    ],
)
def test_orders(sent: object, order: str) -> None:
    parsed = parse_query({"order": sent}).order
    assert " ".join(f"{o.field}{'-' if o.descending else '+'}" for o in parsed) == order


@pytest.mark.parametrize(
    ("sent", "pricing"),
    [
        ("on-demand", Pricing.ON_DEMAND),
        ("ondemand", Pricing.ON_DEMAND),
        ("bid", Pricing.BID),
        ("interruptible", Pricing.BID),
        ("reserved", Pricing.RESERVED),
        (None, Pricing.ON_DEMAND),
    ],
)
def test_types(sent: object, pricing: Pricing) -> None:
    assert parse_query({"type": sent}).pricing is pricing


def test_target_reliability_is_a_lower_bound() -> None:
    assert conditions({"target_reliability": 0.9}) == [Condition("reliability", "gte", 0.9)]


@pytest.mark.parametrize(
    ("body", "named", "field"),
    [
        ({"gpu_nam": {"eq": "x"}}, "'gpu_nam'. Did you mean gpu_name", "gpu_nam"),
        ({"num_gpus": {"greater": 1}}, "'greater'", "num_gpus"),
        ({"num_gpus": {"gteq": 1}}, "Did you mean gte", "num_gpus"),
        ({"num_gpus": {"eq": "many"}}, "'many' is not a number", "num_gpus"),
        ({"num_gpus": {"eq": True}}, "is not a number", "num_gpus"),
        ({"num_gpus": {"eq": "inf"}}, "is not a number", "num_gpus"),
        ({"num_gpus": {"gt": None}}, "gt needs a value", "num_gpus"),
        ({"num_gpus": {"eq": [1]}}, "use in or notin", "num_gpus"),
        ({"num_gpus": {"gt": "any"}}, "is not a number", "num_gpus"),
        ({"verified": {"eq": "perhaps"}}, "true or false", "verified"),
        ({"verified": {"gt": True}}, "has no order", "verified"),
        ({"gpu_name": {"lt": "x"}}, "has no order", "gpu_name"),
        ({"gpu_name": {"eq": {"x": 1}}}, "is not a text", "gpu_name"),
        ({"gpu_name": {"eq": "a\0b"}}, "is not a text", "gpu_name"),
        ({"gpu_name": {"eq": "\ud800"}}, "is not a text", "gpu_name"),
        ({"geolocation": {"eq": "Sweden"}}, "two-letter country code", "geolocation"),
        ({"driver_version": {"gte": "new"}}, "driver version", "driver_version"),
        ({"os_version": {"eq": "jammy"}}, "a version like", "os_version"),
        ({"id": {"in": list(range(2000))}}, "too long", "id"),
        ({"order": [["dhp", "asc"]]}, "Did you mean dph", "dhp"),
        ({"order": [["dph", "upwards"]]}, "asc or desc", "order"),
        ({"order": 7}, "order must be a list", "order"),
        ({"order": [[1, "asc"]]}, "order", "order"),
        ({"limit": 0}, "limit", "limit"),
        ({"limit": MAX_LIMIT + 1}, "limit", "limit"),
        ({"limit": "2.5"}, "limit", "limit"),
        ({"type": "free"}, "type must be one of", "type"),
        ({"allocated_storage": -1}, "between 0", "allocated_storage"),
        ({"allocated_storage": "much"}, "not a number", "allocated_storage"),
        ([], "JSON object", None),
    ],
)
def test_refusals_name_what_is_wrong(body: object, named: str, field: str | None) -> None:
    error = refusal(body)
    assert named in error.message
    assert error.field == field


def many_tests(count: int) -> dict[str, object]:
    """``count`` tests of one field: every spelling of an operator with other spaces around it is another JSON key."""
    return {"eq" + " " * spaces: 1 for spaces in range(count)}


def test_a_query_has_at_most_so_many_conditions() -> None:
    assert len(conditions({"num_gpus": many_tests(MAX_CONDITIONS)})) == MAX_CONDITIONS
    error = refusal({"num_gpus": many_tests(MAX_CONDITIONS + 1)})
    assert f"{MAX_CONDITIONS + 1} conditions; {MAX_CONDITIONS} is the most" in error.message


def test_conditions_are_counted_over_all_fields_and_before_any_is_read() -> None:
    half = MAX_CONDITIONS // 2
    wildcards = dict.fromkeys(many_tests(MAX_CONDITIONS + 1), "any")
    for body in (
        {"num_gpus": many_tests(half), "gpu_ram": many_tests(half), "id": 1},
        {"no_such_field": many_tests(MAX_CONDITIONS + 1)},
        {"num_gpus": wildcards},
    ):
        assert "conditions" in refusal(body).message


def test_order_limit_and_what_is_ignored_are_no_conditions() -> None:
    full = {"num_gpus": many_tests(MAX_CONDITIONS), "order": [["id"]], "limit": 1, "type": "bid", "client_id": "me"}
    assert len(conditions(full)) == MAX_CONDITIONS


@pytest.mark.parametrize("operator", ["in", "notin"])
def test_a_list_has_at_most_so_many_values(operator: str) -> None:
    assert conditions({"id": {operator: [1] * MAX_VALUES}})
    assert "too long" in refusal({"id": {operator: [1] * (MAX_VALUES + 1)}}).message
    assert "too long" in refusal({"id": {operator: "1," * (MAX_VALUES + 1)}}).message


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
KEYS = st.sampled_from([*FIELDS, *ALIASES, "order", "type", "limit", "allocated_storage", "q"]) | st.text()
TESTS = JSON_VALUES | st.dictionaries(st.sampled_from(sorted(OPERATOR_NAMES)) | st.text(), JSON_VALUES, max_size=3)


@given(st.dictionaries(KEYS, TESTS, max_size=4) | JSON_VALUES)
@settings(max_examples=500, deadline=None)
def test_any_json_is_understood_or_refused_with_a_sentence(body: object) -> None:
    try:
        query = parse_query(body)
    except MarketError as error:
        told = error
    else:
        for condition in query.conditions:
            assert condition.operator in OPERATORS_OF[FIELDS[condition.field]]
        return
    assert told.code == "invalid_query"
    assert len(told.message.encode()) < 400


@given(st.sampled_from(sorted(f for f, k in FIELDS.items() if k is Kind.NUMBER)), st.floats(-1e12, 1e12))
def test_a_number_as_text_means_the_number(field: str, number: float) -> None:
    assert conditions({field: {"lte": repr(number)}}) == conditions({field: {"lte": number}})
