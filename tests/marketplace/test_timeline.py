"""Pages of a timeline: nothing is lost or told twice where one ends in the middle of an instant."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from marketplace.timeline import Moment, cut
from tests.plumbing.market import T0


def moments(instants: list[int]) -> list[Moment]:
    """One at each of these seconds, the latest first."""
    found = [Moment(T0 + timedelta(seconds=s), "machine", str(n)) for n, s in enumerate(instants)]
    return sorted(found, key=lambda moment: moment.at, reverse=True)


@given(st.lists(st.integers(0, 6), max_size=40), st.integers(8, 12))
def test_all_pages_together_are_the_timeline(instants: list[int], size: int) -> None:
    """No instant has more than a page can hold."""
    instants = [second for n, second in enumerate(instants) if instants[:n].count(second) < size]
    whole, told, before = moments(instants), [], T0 + timedelta(days=1)
    while True:
        page, after = cut([moment for moment in whole if moment.at < before][: size + 1], size)
        told += page
        if after is None:
            break
        assert page
        before = after
    assert told == whole


def test_an_instant_with_more_than_a_page_still_ends() -> None:
    page, before = cut(moments([5] * 11), 10)
    assert (len(page), before) == (11, T0 + timedelta(seconds=5))
