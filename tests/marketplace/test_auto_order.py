"""What a request asks for that offers can fit more or less."""

from typing import Any

import pytest

from marketplace.domain.auto_order import SECONDS_WANTED, Asked, score, size_fit, time_fit
from marketplace.domain.query import parse_query


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ({}, Asked()),
        ({"num_gpus": 4}, Asked(gpus=4)),
        ({"num_gpus": {"gte": 2}}, Asked(gpus=2)),
        ({"num_gpus": {"gt": 2}}, Asked(gpus=3)),
        ({"num_gpus": {"gte": 2.5}}, Asked(gpus=3)),
        ({"num_gpus": {"in": [8, 2]}}, Asked(gpus=2)),
        ({"num_gpus": {"gte": 2, "lte": 8}}, Asked(gpus=2)),
        ({"num_gpus": {"lte": 8}}, Asked()),
        ({"num_gpus": {"neq": 8}}, Asked()),
        ({"num_gpus": {"gte": -3}}, Asked()),
        ({"num_gpus": {"eq": None}}, Asked()),
        ({"duration": {"gte": 3600}}, Asked(seconds=3600)),
        ({"duration": {"gte": 10 * SECONDS_WANTED}}, Asked()),
        ({"duration": {"gte": -1}}, Asked()),
        ({"duration": {"gte": 5e-324}}, Asked(seconds=1)),
        ({"num_gpus": {"gt": 1e308}}, Asked(gpus=1_000_000)),
    ],
)
def test_what_is_asked_for(query: dict[str, Any], asked: Asked) -> None:
    assert parse_query(query).asked == asked


def test_fits() -> None:
    assert (size_fit(8, Asked()), size_fit(2, Asked(gpus=2)), size_fit(8, Asked(gpus=2))) == (1, 1, 0.625)
    assert (time_fit(SECONDS_WANTED / 4, Asked()), time_fit(10**9, Asked()), time_fit(-5, Asked())) == (0.25, 1, 0)
    assert time_fit(SECONDS_WANTED / 4, Asked(seconds=3600)) == 1


def test_the_score() -> None:
    assert score(100, 0.5, 0.5) == 12.5
    assert score(None, 0.5, 0.5) is None
