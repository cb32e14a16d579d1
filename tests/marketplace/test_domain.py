"""The pure rules of the market."""

from datetime import timedelta

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
from marketplace.domain.placement import Waiting, place
from tests.plumbing.market import T0


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
def test_slices_double_from_the_minimum_and_end_with_the_whole(gpus, minimum, sizes):
    assert slice_sizes(gpus, minimum) == sizes


@given(st.integers(1, 64), st.integers(1, 64))
def test_slices_are_rising_within_bounds_and_include_the_whole(gpus, minimum):
    sizes = slice_sizes(gpus, minimum)
    assert sizes == sorted(set(sizes))
    assert all(minimum <= size <= gpus for size in sizes)
    assert (gpus in sizes) == (minimum <= gpus)


@given(st.integers(0, 10**8), st.integers(1, 10**5))
def test_the_storage_rate_is_within_half_a_micro_dollar(micros_per_gb_month, disk_gb):
    rate = storage_micros_per_hour(micros_per_gb_month, disk_gb)
    assert abs(rate * 720 - micros_per_gb_month * disk_gb) * 2 <= 720


@given(st.integers(1, 10**5), st.integers(0, 10**5), st.integers(1, 16))
def test_disk_shares_never_exceed_what_is_left(total, given_gb, gpus):
    for size in range(1, gpus + 1):
        share = disk_share_gb(total, given_gb, size, gpus)
        assert 0 <= share <= max(total - given_gb, 0)


def test_versions_and_places_are_read_and_rubbish_is_nothing():
    assert driver_number("550.54.15") == 550054015
    assert driver_number("535.86") == 535086000
    assert driver_number("N/A") == 0
    assert (cuda_number("12.8"), cuda_number("12.8.1"), cuda_number("nan"), cuda_number("")) == (12.8, 12.8, 0, 0)
    assert (country_of("Oslo, NO"), country_of("se"), country_of("Earth"), country_of("")) == ("NO", "SE", "", "")


WAITING = st.lists(
    st.builds(
        Waiting,
        instance_id=st.integers(1, 1000),
        num_gpus=st.integers(1, 8),
        since=st.integers(0, 50).map(lambda s: T0 + timedelta(seconds=s)),
        preferred=st.frozensets(st.integers(0, 15), max_size=4),
    ),
    unique_by=lambda w: w.instance_id,
    max_size=8,
)


@given(st.lists(st.integers(0, 15), unique=True), WAITING)
def test_no_gpu_is_given_twice_and_nobody_who_fits_is_left_out(free, waiting):
    placed = place(free, waiting)
    given_out = [gpu for gpus in placed.values() for gpu in gpus]
    assert len(given_out) == len(set(given_out))
    assert set(given_out) <= set(free)
    for claim in waiting:
        if claim.instance_id in placed:
            assert len(placed[claim.instance_id]) == claim.num_gpus
        else:
            assert claim.num_gpus > len(free) - len(given_out)


@given(st.lists(st.integers(0, 15), unique=True), WAITING)
def test_whoever_asked_first_among_equals_is_served_first(free, waiting):
    placed = place(free, waiting)
    for left_out in (w for w in waiting if w.instance_id not in placed):
        for later in (w for w in waiting if w.instance_id in placed and w.num_gpus >= left_out.num_gpus):
            assert (later.since, later.instance_id) < (left_out.since, left_out.instance_id)


def test_a_returning_instance_gets_its_old_gpus_where_free():
    waiting = Waiting(instance_id=1, num_gpus=2, since=T0, preferred=frozenset({2, 3}))
    assert place([0, 1, 2, 3], [waiting]) == {1: [2, 3]}
    assert place([0, 1, 3], [waiting]) == {1: [0, 3]}


def test_every_state_is_reachable_and_only_destroyed_is_final():
    assert set(states.TRANSITIONS) == set(states.STATES)
    reached = {to for targets in states.TRANSITIONS.values() for to in targets} | {states.SCHEDULING}
    assert reached == set(states.STATES)
    assert [s for s in states.STATES if not states.TRANSITIONS[s]] == [states.DESTROYED]
    for state in states.STATES:
        if state not in (states.DESTROYING, states.DESTROYED):
            assert states.may_become(state, states.DESTROYING)
