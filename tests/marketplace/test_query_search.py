"""Search through the real database, compared with the same conditions evaluated over the results in Python."""

import operator
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.domain.auto_order import NOTHING_ASKED
from marketplace.domain.query import MAX_LIMIT, Condition, OfferQuery, parse_query
from marketplace.domain.query_fields import FIELDS, OPERATORS_OF, Kind
from marketplace.domain.query_values import fold
from marketplace.errors import MarketError
from marketplace.models import Offer
from marketplace.offer_json import Quote
from marketplace.search import gpu_names, offer_find, search_offers
from tests.marketplace.offers import NOW, make_machine, make_offer, make_user

pytestmark = pytest.mark.django_db

EVERYTHING = {"rentable": {"eq": "any"}, "limit": MAX_LIMIT}
NAMES = ["RTX 3090", "RTX 4090", "H100_SXM", "rtx 3090"]
PLACES = [("", ""), ("Stockholm, SE", "SE"), ("Hanoi, VN", "VN"), ("Kyoto, JP", "JP")]
VERSIONS = ["22.04", "20.04", "12", "rolling", "", "22.4.1"]
DRIVERS = [("550.54.15", 550054015), ("535.86.05", 535086005), ("", 0)]
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def ids(query: dict[str, Any] | OfferQuery) -> list[int]:
    parsed = query if isinstance(query, OfferQuery) else parse_query(query)
    return [row["id"] for row in search_offers(parsed, now=NOW)]


def compared(row: dict[str, Any], field: str) -> Any:
    """The value of a field as the language says it compares, from the row that clients get."""
    kind = FIELDS[field]
    value = row[field]
    if kind is Kind.COUNTRY:
        return value.rpartition(", ")[2] if value else None
    if kind is Kind.DRIVER:
        return row["driver_vers"] or None
    if kind is Kind.VERSION:
        numbers = bool(value) and all(part.isdigit() for part in value.split("."))
        return tuple(int(part) for part in value.split(".")) if numbers else None
    return fold(value) if kind is Kind.TEXT and value is not None else value


def meets(row: dict[str, Any], condition: Condition) -> bool:
    value, wanted = compared(row, condition.field), condition.value
    if condition.operator in ("in", "notin"):
        assert isinstance(wanted, tuple)
        found = value in wanted
        return found if condition.operator == "in" else not found and (value is not None or not wanted)
    if value is None or wanted is None:
        return (condition.operator == "eq") == (value is None) if wanted is None else False
    return COMPARE[condition.operator](value, wanted)


@pytest.fixture
def market() -> list[Offer]:
    """Offers that differ in most fields, some with unknown facts, some not rentable, one retired."""
    hosts = [make_user("host1@example.com"), make_user("host2@example.com")]
    machines = [make_machine(hosts[n % 2]) for n in range(12)]
    offers = [
        make_offer(
            machine,
            gpu_name=NAMES[n % 4],
            num_gpus=1 + n % 4,
            gpu_ram_mb=[24576, 24564, 81920][n % 3],
            gpu_total_ram_mb=[24576, 24564, 81920][n % 3] * (1 + n % 4),
            rentable=n % 5 != 0,
            rented=n % 5 == 0,
            geolocation=PLACES[n % 4][0],
            country=PLACES[n % 4][1],
            os_version=VERSIONS[n % 6],
            driver_version=DRIVERS[n % 3][0],
            driver_vers=DRIVERS[n % 3][1],
            mobo_name="" if n % 3 else "H_11",
            verification=["verified", "unverified", "deverified"][n % 3],
            reliability=[0.9, 0.95, 0.99, 0.5][n % 4],
            reliability_lower=[0.83, 0.9411, 0.98, 0.3][n % 4],
            dlperf=[10.0, 33.4, 90.1][n % 3],
            gpu_micros_per_hour=[300_000, 333_333, 1_999_999, 1][n % 4],
            min_bid_micros_per_hour=[0, 100_000][n % 2],
            storage_micros_per_gb_month=[0, 150_001][n % 2],
            hosting_type=n % 2,
            end_at=NOW + timedelta(days=n, seconds=1) if n else NOW,
        )
        for n, machine in enumerate(machines)
    ]
    make_offer(machines[0], num_gpus=8, retired_at=NOW)
    return offers


def candidates(rows: list[dict[str, Any]], field: str) -> list[Any]:
    """Values that make a difference: those of the offers, neighbours of them, and odd ones."""
    shown = {repr(row[field]): row[field] for row in rows}.values()
    values = [value for value in shown if value != "rolling"][:4]
    if FIELDS[field] is Kind.NUMBER:
        values += [values[0] + 0.5] if values[0] is not None else []
        values += [-1, 1e300, 5e-324]
    if FIELDS[field] is Kind.TEXT:
        values += [value.upper().replace(" ", "_") for value in values if value] + ["none such", "å'\"\\%"]
    return [*values, None]


def search_cases(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for field, kind in FIELDS.items():
        values = candidates(rows, field)
        for name in OPERATORS_OF[kind]:
            if name in ("in", "notin"):
                yield from ({field: {name: chosen}} for chosen in (values[:2], values[-2:], values, []))
            else:
                wanted = [v for v in values if v is not None or name in ("eq", "neq")]
                yield from ({field: {name: value}} for value in wanted)


@pytest.mark.usefixtures("market")
def test_every_field_and_operator_agrees_with_python() -> None:
    rows = search_offers(parse_query(EVERYTHING), now=NOW)
    assert len(rows) == 12
    tried = 0
    for case in search_cases(rows):
        query = parse_query(EVERYTHING | case)
        scored = rows
        if query.asked != NOTHING_ASKED:
            scored = search_offers(replace(parse_query(EVERYTHING), asked=query.asked), now=NOW)
        expected = {row["id"] for row in scored if all(meets(row, c) for c in query.conditions)}
        assert set(ids(query)) == expected, case
        tried += 1
    assert tried > 1000


@pytest.mark.usefixtures("market")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_conjunctions_orders_and_limits_agree_with_python(data: st.DataObject) -> None:
    rows = search_offers(parse_query(EVERYTHING), now=NOW)
    body: dict[str, Any] = dict(EVERYTHING)
    for field in data.draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=3, unique=True)):
        name = data.draw(st.sampled_from(OPERATORS_OF[FIELDS[field]]))
        value = st.sampled_from(candidates(rows, field))
        body[field] = {name: data.draw(st.lists(value, max_size=4) if name in ("in", "notin") else value)}
    field = data.draw(st.sampled_from(sorted(FIELDS)))
    direction = data.draw(st.sampled_from(["asc", "desc"]))
    body |= {"order": [[field, direction]], "limit": data.draw(st.integers(1, 15))}
    try:
        query = parse_query(body)
    except MarketError:
        return
    rows = search_offers(replace(parse_query(EVERYTHING), asked=query.asked), now=NOW)
    found = [row for row in rows if all(meets(row, c) for c in query.conditions)]
    assert ids(query) == [row["id"] for row in in_order(found, field, direction)][: query.limit]


def in_order(rows: list[dict[str, Any]], field: str, direction: str) -> list[dict[str, Any]]:
    by_id = sorted(rows, key=lambda row: row["id"])
    known = [row for row in by_id if compared(row, field) is not None]
    unknown = [row for row in by_id if compared(row, field) is None]
    return sorted(known, key=lambda row: compared(row, field), reverse=direction == "desc") + unknown


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    field=st.sampled_from(sorted(FIELDS)),
    name=st.sampled_from(["eq", "neq", "gt", "lte", "in", "notin"]),
    value=st.one_of(st.text(), st.floats(), st.integers(), st.lists(st.text() | st.floats(), max_size=3)),
)
def test_no_value_breaks_the_database(field: str, name: str, value: object) -> None:
    try:
        query = parse_query({field: {name: value}})
    except MarketError:
        return
    search_offers(query, now=NOW)


def test_one_query_to_the_database(market: list[Offer]) -> None:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        found = search_offers(parse_query({"limit": 5}), now=NOW)
    assert len(found) == 5
    assert len(captured) == 1
    assert len(market) == 12


def test_offers_past_their_end_and_retired_ones_are_not_rentable() -> None:
    machine = make_machine(make_user("host@example.com"))
    make_offer(machine, num_gpus=1, end_at=NOW)
    make_offer(machine, num_gpus=2, retired_at=NOW)
    live = make_offer(machine, num_gpus=4)
    assert ids({}) == [live.pk]
    assert len(ids(EVERYTHING)) == 2


def test_country_match_is_on_the_code_and_unknown_places_match_nothing(market: list[Offer]) -> None:
    def countries(query: dict[str, Any]) -> set[str]:
        return {r["geolocation"] for r in search_offers(parse_query(EVERYTHING | query), now=NOW)}

    assert countries({"geolocation": {"eq": "se"}}) == {"Stockholm, SE"}
    assert countries({"geolocation": {"in": ["SE", "JP"]}}) == {"Stockholm, SE", "Kyoto, JP"}
    assert countries({"geolocation": {"notin": ["CN", "VN"]}}) == {"Stockholm, SE", "Kyoto, JP"}
    assert countries({"geolocation": {"eq": None}}) == {None}
    assert market


def test_prices_follow_the_published_arithmetic() -> None:
    offer = make_offer(make_machine(make_user("host@example.com")), num_gpus=2, gpu_total_ram_mb=49152)
    row = offer_find(offer.pk, quote=Quote(NOW, 40))
    assert row is not None
    assert row["dph_base"] == 0.3
    assert row["storage_cost"] == 0.15
    assert row["storage_total_cost"] == pytest.approx(0.15 * 40 / 720, rel=1e-12)
    assert row["dph_total"] == row["dph_base"] + row["storage_total_cost"]
    assert row["dlperf_per_dphtotal"] == row["dlperf"] / row["dph_total"]
    assert row["flops_per_dphtotal"] == row["total_flops"] / row["dph_total"]
    assert row["vram_costperhour"] == row["dph_total"] / 49152
    assert row["score"] == pytest.approx(row["dlperf_per_dphtotal"] * 0.94**2, rel=1e-12)
    assert row["search"]["totalHour"] == row["dph_total"]
    assert row["internet_up_cost_per_tb"] == 10.24
    assert row["duration"] == 30 * 86400
    assert row["min_bid"] == 0.1
    assert (row["is_bid"], row["simulated"], row["verified"]) == (False, True, True)


def test_bid_prices_start_from_the_minimum_bid() -> None:
    offer = make_offer(make_machine(make_user("host@example.com")))
    row = search_offers(parse_query({"type": "bid", "allocated_storage": 0}), now=NOW)[0]
    assert (row["id"], row["is_bid"], row["dph_total"]) == (offer.pk, True, 0.1)


def test_storage_asked_for_must_fit() -> None:
    make_offer(make_machine(make_user("host@example.com")), disk_space_gb=100)
    assert len(ids({"allocated_storage": 100})) == 1
    assert ids({"allocated_storage": 101}) == []


def test_find_knows_live_offers_only() -> None:
    machine = make_machine(make_user("host@example.com"))
    gone = make_offer(machine, retired_at=NOW)
    taken = make_offer(machine, rentable=False, rented=True)
    assert offer_find(gone.pk, quote=Quote(NOW, 10)) is None
    found = offer_find(taken.pk, quote=Quote(NOW, 10))
    assert found is not None
    assert (found["rentable"], found["rented"]) == (False, True)


def test_gpu_names_are_those_on_the_market(market: list[Offer]) -> None:
    assert gpu_names() == sorted(set(NAMES))
    assert market


def test_the_score_is_value_times_proven_reliability_squared_times_fit(market: list[Offer]) -> None:
    query = parse_query(EVERYTHING | {"num_gpus": {"gte": 2}, "order": [["auto", "desc"]]})
    rows = search_offers(query, now=NOW)
    assert len(rows) == 9
    for row in rows:
        lasts = min(row["duration"] / 86_400, 1)
        assert row["fit"] == (1 + 2 / row["num_gpus"]) / 2 * lasts
        reliability = row["reliability_lower"]
        assert row["score"] == row["dlperf_per_dphtotal"] * reliability * reliability * row["fit"]
    assert rows == sorted(rows, key=lambda row: -row["score"])
    assert market


def test_an_offer_of_the_size_asked_for_comes_before_a_greater_one_of_the_same_value() -> None:
    machine = make_machine(make_user("host@example.com"))
    small = make_offer(machine, num_gpus=2, dlperf=66.8, gpu_micros_per_hour=600_000, storage_micros_per_gb_month=0)
    large = make_offer(machine, num_gpus=4, dlperf=133.6, gpu_micros_per_hour=1_200_000, storage_micros_per_gb_month=0)
    short = make_offer(
        make_machine(make_user("host2@example.com")),
        num_gpus=2,
        dlperf=66.8,
        gpu_micros_per_hour=600_000,
        storage_micros_per_gb_month=0,
        end_at=NOW + timedelta(hours=6),
    )
    assert ids({"num_gpus": {"gte": 2}}) == [small.pk, large.pk, short.pk]
    assert ids({"num_gpus": {"gte": 2}, "duration": {"gte": 3600}}) == [small.pk, short.pk, large.pk]
