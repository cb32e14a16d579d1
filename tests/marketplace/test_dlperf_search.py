"""Searches that adapt DLPerf: filters, orders, the JSON and what it says about itself."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlperf.catalogue import gpu_models, learned_model
from dlperf.domain.mixes import IMAGES, PRECISIONS, Adaptation
from marketplace.domain.query import parse_query
from marketplace.domain.query_adaptation import MOST_IMAGE_CHARS, adaptation
from marketplace.errors import MarketError
from marketplace.models import Offer
from marketplace.search import search_offers
from tests.marketplace.offers import NOW, make_machine, make_offer, make_user
from tests.plumbing import market

ASKED = [{"dlperf_precision": name} for name in PRECISIONS] + [{"dlperf_image": name} for name in IMAGES]


def found(query: dict[str, Any]) -> list[dict[str, Any]]:
    return search_offers(parse_query({"rentable": {"eq": "any"}} | query), now=NOW)


@pytest.fixture
def offers(db: None) -> list[Offer]:  # noqa: ARG001 - a fixture that is needed, not used
    """Offers whose orders by the precisions all differ; the first alone is measured in int8, the second in nothing."""
    machine = make_machine(make_user("host@example.com"))
    scores = [(10.0, 10.3, 10.1, 40.7), (13.1, 20.3, 5.7, 12.9), (12.7, 5.1, 33.3, 30.1), (15.9, 15.7, 20.9, 10.7)]
    return [
        make_offer(
            machine,
            num_gpus=number + 1,
            dlperf=round(0.9 * fp32 + 0.1 * fp16, 1),
            dlperf_fp32=fp32,
            dlperf_fp16=fp16,
            dlperf_bf16=bf16,
            dlperf_int8=int8,
            dlperf_is_estimate=number == 1,
            dlperf_source=["measured", "predicted", "published", "published"][number],
            dlperf_int8_is_estimate=number != 0,
            gpu_micros_per_hour=[300_000, 333_333, 199_999, 700_001][number],
        )
        for number, (fp32, fp16, bf16, int8) in enumerate(scores)
    ]


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("field", ["dlperf", "dlperf_per_dphtotal", "score"])
def test_orders_and_filters_follow_the_number_that_is_shown(
    offers: list[Offer], asked: dict[str, str], field: str
) -> None:
    rows = found(asked | {"order": [[field, "desc"]]})
    shown = [row[field] for row in rows]
    assert len(rows) == len(offers)
    assert shown == sorted(shown, reverse=True)
    # To the last bit: the number that an offer shows finds it, and bounds of it take it in or leave it out.
    assert [row["id"] for row in found(asked | {field: {"gte": shown[1]}, "order": [[field, "desc"]]})] == [
        row["id"] for row in rows[:2]
    ]
    assert {row["id"] for row in found(asked | {field: {"gt": shown[1]}})} == {rows[0]["id"]}


@pytest.mark.usefixtures("offers")
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(ASKED), st.sampled_from(["dlperf", "dlperf_per_dphtotal", "score"]), st.floats(0, 200))
def test_any_bound_parts_the_offers_as_their_numbers_do(asked: dict[str, str], field: str, bound: float) -> None:
    expected = {row["id"] for row in found(asked) if row[field] >= bound}
    assert {row["id"] for row in found(asked | {field: {"gte": bound}})} == expected


def test_each_precision_is_its_own_column_and_an_image_a_mix(offers: list[Offer]) -> None:
    def shown(asked: dict[str, str]) -> list[float]:
        by_id = {row["id"]: row["dlperf"] for row in found(asked)}
        return [by_id[offer.pk] for offer in offers]

    assert shown({}) == [offer.dlperf for offer in offers]
    assert shown({"dlperf_precision": "fp16"}) == [offer.dlperf_fp16 for offer in offers]
    assert shown({"dlperf_precision": "int8", "dlperf_image": "pytorch"}) == [offer.dlperf_int8 for offer in offers]
    halves = [0.5 * offer.dlperf_fp32 + 0.5 * offer.dlperf_fp16 for offer in offers]
    assert shown({"dlperf_image": "pytorch/pytorch:latest"}) == pytest.approx(halves)
    per_dollar = {row["id"]: row["dlperf_per_dphtotal"] * row["dph_total"] for row in found({"dlperf_image": "jax"})}
    assert [per_dollar[offer.pk] for offer in offers] == pytest.approx(shown({"dlperf_image": "jax"}))


def test_offers_say_what_their_score_stands_for_and_how_sure_it_is(offers: list[Offer]) -> None:
    def told(asked: dict[str, str]) -> list[tuple[Any, ...]]:
        rows = {row["id"]: row for row in found(asked)}
        names = ("dlperf_adapted_to", "dlperf_is_estimate", "dlperf_error")
        return [tuple(rows[offer.pk][name] for name in names) for offer in offers[:2]]

    errors = learned_model().errors
    assert told({}) == [(None, False, None), (None, True, errors["balanced"].median)]
    assert told({"dlperf_precision": "fp32"}) == [("fp32", False, None), ("fp32", True, errors["fp32"].median)]
    assert told({"dlperf_image": "jax"}) == [("jax", False, None), ("jax", True, errors["mixed"].median)]
    assert told({"dlperf_precision": "int8"}) == [("int8", False, None), ("int8", True, None)]


@pytest.mark.parametrize(("asked", "estimates"), [({}, [1]), ({"dlperf_precision": "int8"}, [1, 2, 3])])
def test_estimates_can_be_left_out(offers: list[Offer], asked: dict[str, str], estimates: list[int]) -> None:
    rows = found(asked | {"dlperf_is_estimate": {"eq": True}})
    assert {row["id"] for row in rows} == {offers[number].pk for number in estimates}


def test_offers_say_where_their_score_comes_from_and_are_found_by_it(offers: list[Offer]) -> None:
    told = {row["id"]: row["dlperf_source"] for row in found({})}
    assert [told[offer.pk] for offer in offers] == ["measured", "predicted", "published", "published"]
    assert [row["id"] for row in found({"dlperf_source": {"eq": "measured"}})] == [offers[0].pk]


@pytest.mark.usefixtures("offers")
def test_an_adapted_search_is_one_query_too() -> None:
    with CaptureQueriesContext(connection) as captured:
        assert found({"dlperf_image": "vllm", "order": [["dlperf_usd", "desc"]]})
    assert len(captured) == 1


@pytest.mark.parametrize(
    ("precision", "image", "wanted"),
    [
        (None, None, Adaptation()),
        ("", "", Adaptation()),
        ("any", "any", Adaptation()),
        ("balanced", None, Adaptation()),
        (" FP16 ", None, Adaptation("fp16")),
        ({"eq": "half"}, None, Adaptation("fp16")),
        ("tf32", None, Adaptation("fp32")),
        (None, "vllm/vllm-openai:latest", Adaptation(family="vllm")),
        (None, "nvidia/cuda:12.8", Adaptation()),
        ("int8", "pytorch", Adaptation("int8", "pytorch")),
    ],
)
def test_what_is_asked_for(precision: object, image: object, wanted: Adaptation) -> None:
    assert adaptation(precision, image) == wanted


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ({"dlperf_precision": "fp61"}, "dlperf_precision", "Did you mean fp16"),
        ({"dlperf_precision": 16}, "dlperf_precision", "is a text"),
        ({"dlperf_precision": {"gte": "fp16"}}, "dlperf_precision", "is a text"),
        ({"dlperf_image": ["pytorch"]}, "dlperf_image", "is a text"),
        ({"dlperf_image": "x" * (MOST_IMAGE_CHARS + 1)}, "dlperf_image", "at most"),
    ],
)
def test_nonsense_is_refused_by_name(query: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(MarketError, match=message) as refusal:
        parse_query(query)
    assert (refusal.value.code, refusal.value.field) == ("invalid_query", field)


@given(st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text()), st.dictionaries(st.text(), st.text())))
def test_no_value_breaks_the_parser(value: object) -> None:
    for name in ("dlperf_precision", "dlperf_image"):
        try:
            parse_query({name: value})
        except MarketError as refusal:
            assert refusal.field == name  # noqa: PT017  # what may be refused is the point


@pytest.mark.django_db
def test_offers_of_a_machine_have_its_scores_in_every_precision() -> None:
    agent = market.listed_machine()
    scores = gpu_models()["RTX 3090"].scores()
    offer = market.offer(agent, 2)
    assert (offer.dlperf, offer.dlperf_is_estimate) == (49.8, False)
    stored = [offer.dlperf_fp32, offer.dlperf_fp16, offer.dlperf_bf16, offer.dlperf_int8]
    expected = [scores.fp32, scores.fp16, scores.bf16, scores.int8]
    assert stored == [round(2 * score.value, 1) for score in expected]
    assert offer.dlperf_int8_is_estimate
