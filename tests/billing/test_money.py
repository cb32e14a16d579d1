"""Micro-dollars as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.errors import InvalidAmountError
from billing.domain.money import (
    MAX_AMOUNT_MICROS,
    check_positive_amount,
    exact_dollars,
    format_dollars,
    parse_dollars,
)


@given(st.integers(-MAX_AMOUNT_MICROS, MAX_AMOUNT_MICROS))
def test_exact_text_reads_back(micros: int) -> None:
    assert parse_dollars(exact_dollars(micros)) == micros
    assert parse_dollars(format_dollars(micros, 6)) == micros


@pytest.mark.parametrize(
    ("micros", "places", "text"),
    [
        (0, 2, "0.00"),
        (12_345_678, 2, "12.35"),
        (12_345_678, 0, "12"),
        (4_999, 2, "0.00"),
        (5_000, 2, "0.01"),
        (-4_999, 2, "0.00"),
        (-5_000, 2, "-0.01"),
        (-1, 6, "-0.000001"),
        (999_999_999, 2, "1000.00"),
    ],
)
def test_rounds_half_away_from_zero(micros: int, places: int, text: str) -> None:
    assert format_dollars(micros, places) == text


@pytest.mark.parametrize(("micros", "text"), [(0, "0.00"), (1_500, "0.0015"), (100_000, "0.10"), (-2_500_000, "-2.50")])
def test_exact_has_the_digits_that_count(micros: int, text: str) -> None:
    assert exact_dollars(micros) == text


@pytest.mark.parametrize(
    ("text", "micros"), [("12.5", 12_500_000), (" 3 ", 3_000_000), ("-0.000001", -1), ("+7.00", 7_000_000)]
)
def test_parses(text: str, micros: int) -> None:
    assert parse_dollars(text) == micros


@pytest.mark.parametrize(
    "text", ["", ".5", "5.", "1,000", "1e3", "NaN", "inf", "0.0000001", "$5", "1 000", "9" * 12, "٣"]
)
def test_refuses_what_is_no_amount(text: str) -> None:
    with pytest.raises(InvalidAmountError) as refusal:
        parse_dollars(text)
    assert refusal.value.code == "invalid_amount"


@pytest.mark.parametrize("micros", [0, -1, MAX_AMOUNT_MICROS + 1])
def test_refuses_amounts_that_move_nothing_or_too_much(micros: int) -> None:
    with pytest.raises(InvalidAmountError):
        check_positive_amount(micros)
