"""How pages spell money, sizes and times."""

from datetime import timedelta

import pytest
import time_machine

from marketplace.templatetags import ui
from tests.plumbing.market import T0


@pytest.mark.parametrize(
    ("micros", "spelled"),
    [(12_500_000, "$12.50"), (0, "$0.00"), (-12_500_000, "-$12.50"), (99_995_000, "$100.00"), (-4_000, "$0.00")],
)
def test_cents(micros: int, spelled: str) -> None:
    assert ui.usd(micros) == spelled


@pytest.mark.parametrize(
    ("micros", "spelled"), [(500_000, "$0.50"), (1_389, "$0.001389"), (1_140_000, "$1.14"), (-1, "-$0.000001")]
)
def test_every_digit(micros: int, spelled: str) -> None:
    assert ui.usd_exact(micros) == spelled


@pytest.mark.parametrize(
    ("micros", "spelled"),
    [
        (354_000, "$0.354"),
        (354_001, "$0.355"),
        (1_389, "$0.00139"),
        (2_002_000, "$2.002"),
        (999_999, "$1.000"),
        (0, "$0.00"),
    ],
)
def test_a_rate_is_never_spelled_lower_than_it_is(micros: int, spelled: str) -> None:
    assert ui.usd_rate(micros) == spelled


def test_a_gpus_part_of_a_price_is_never_spelled_lower_than_it_is() -> None:
    assert [ui.per_gpu(300_000, 2), ui.per_gpu(378_001, 4), ui.per_gpu(500_000, 1)] == [150_000, 94_501, 500_000]


@pytest.mark.parametrize(("score", "spelled"), [(24.93, "24.9"), (10.0, "10.0"), (0.1273, "0.127"), (0.0, "0")])
def test_a_small_score_is_not_spelled_as_nothing(score: float, spelled: str) -> None:
    assert ui.dlperf(score) == spelled


@pytest.mark.parametrize(
    ("fraction", "spelled"), [(0.034, "+3%"), (-0.121, "-12%"), (0.0, "0%"), (-0.004, "0%"), (1.5, "+150%")]
)
def test_a_change_has_a_sign(fraction: float, spelled: str) -> None:
    assert ui.percent_change(fraction) == spelled


@pytest.mark.parametrize(
    ("seconds", "spelled"), [(7_770_900, "89 d 22:35:00"), (86_399.9, "23:59:59"), (59, "00:00:59"), (-5, "00:00:00")]
)
def test_a_countdown_goes_to_the_second_and_ends_at_nothing(seconds: float, spelled: str) -> None:
    with time_machine.travel(T0, tick=False):
        assert ui.countdown(T0 + timedelta(seconds=seconds)) == spelled


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (59.9, "59 s"),
        (61, "1 min 1 s"),
        (3_700, "1 h 1 min"),
        (90_000, "1 d 1 h"),
        (None, "\N{EN DASH}"),
    ],
)
def test_lengths_of_time(seconds: float | None, spelled: str) -> None:
    assert ui.spell_seconds(seconds) == spelled


def test_sizes_and_speeds() -> None:
    assert [ui.gb(24576), ui.gb(11264), ui.gb(1536), ui.gb(8192)] == ["24 GB", "11 GB", "1.5 GB", "8 GB"]
    assert [ui.gigabytes(500), ui.gigabytes(1000), ui.gigabytes(2500)] == ["500 GB", "1 TB", "2.5 TB"]
    assert [ui.mbps(940), ui.mbps(1000), ui.mbps(2500)] == ["940 Mb/s", "1 Gb/s", "2.5 Gb/s"]


def test_a_share_is_never_rounded_up_to_all() -> None:
    assert [ui.percent(0.9997), ui.percent(0.975), ui.percent(1.0)] == ["99.9%", "97.5%", "100.0%"]


def test_references_and_codes_as_words() -> None:
    assert ui.reference("instance:12:gpu") == "Instance 12, GPU"
    assert ui.reference("instance:12:storage") == "Instance 12, storage"
    assert ui.words("went_offline") == "Went offline"
