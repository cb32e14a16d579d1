"""The pure rules of the market."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.domain import instance_states as states
from marketplace.domain.offers import (
    country_of,
    cuda_number,
    disk_share_gb,
    driver_number,
    slice_sizes,
    storage_micros_per_hour,
)


@pytest.mark.parametrize(
    ("gpus", "minimum", "sizes"),
    [
        (1, 1, [1]),
        (4, 1, [1, 2, 4]),
        (8, 2, [2, 4, 8]),
        (6, 1, [1, 2, 4, 6]),
        (6, 4, [4, 6]),
        (3, 3, [3]),
        (10, 3, [3, 6, 10]),
        (2, 4, []),
    ],
)
def test_slices_double_from_the_minimum_and_end_with_the_whole(gpus: int, minimum: int, sizes: list[int]) -> None:
    assert slice_sizes(gpus, minimum) == sizes


@given(st.integers(1, 64), st.integers(1, 64))
def test_slices_are_rising_within_bounds_and_include_the_whole(gpus: int, minimum: int) -> None:
    sizes = slice_sizes(gpus, minimum)
    assert sizes == sorted(set(sizes))
    assert all(minimum <= size <= gpus for size in sizes)
    assert (gpus in sizes) == (minimum <= gpus)


@given(st.integers(0, 10**8), st.integers(1, 10**5))
def test_the_storage_rate_is_within_half_a_micro_dollar(micros_per_gb_month: int, disk_gb: int) -> None:
    rate = storage_micros_per_hour(micros_per_gb_month, disk_gb)
    assert abs(rate * 720 - micros_per_gb_month * disk_gb) * 2 <= 720


@given(st.integers(1, 10**5), st.integers(0, 10**5), st.integers(1, 16))
def test_disk_shares_never_exceed_what_is_left(total: int, given_gb: int, gpus: int) -> None:
    for size in range(1, gpus + 1):
        share = disk_share_gb(total, given_gb, size, gpus)
        assert 0 <= share <= max(total - given_gb, 0)


def test_versions_and_places_are_read_and_rubbish_is_nothing() -> None:
    assert driver_number("550.54.15") == 550054015
    assert driver_number("535.86") == 535086000
    assert driver_number("N/A") == 0
    assert (cuda_number("12.8"), cuda_number("12.8.1"), cuda_number("nan"), cuda_number("")) == (12.8, 12.8, 0, 0)
    assert (country_of("Oslo, NO"), country_of("se"), country_of("Earth"), country_of("")) == ("NO", "SE", "", "")


def test_every_state_is_reachable_and_only_destroyed_is_final() -> None:
    assert set(states.TRANSITIONS) == set(states.STATES)
    reached = {to for targets in states.TRANSITIONS.values() for to in targets} | {states.SCHEDULING}
    assert reached == set(states.STATES)
    assert [s for s in states.STATES if not states.TRANSITIONS[s]] == [states.DESTROYED]
    for state in states.STATES:
        if state not in (states.DESTROYING, states.DESTROYED):
            assert states.may_become(state, states.DESTROYING)
