"""Days and months."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.periods import INSTANT, Month, Period, day_of, last_days, midnight, parse_month

instants = st.datetimes(datetime(2000, 2, 1), datetime(2199, 12, 1), timezones=st.just(UTC))  # noqa: DTZ001 - naive bounds


@given(instants)
def test_every_instant_belongs_to_one_month_and_one_day(instant: datetime) -> None:
    month, day = Month.of(instant), day_of(instant)
    assert month.since < instant <= month.until
    assert midnight(day) < instant <= midnight(day) + timedelta(days=1)
    assert month.first_day <= day <= month.last_day
    assert month.previous.next == month.next.previous == month
    assert month.previous < month < month.next
    assert parse_month(str(month)) == month


def test_midnight_ends_a_day() -> None:
    new_year = datetime(2027, 1, 1, tzinfo=UTC)
    assert (Month.of(new_year), day_of(new_year)) == (Month(2026, 12), date(2026, 12, 31))
    assert Month.of(new_year + INSTANT) == Month(2027, 1)


def test_periods_are_whole_days() -> None:
    period = Period(date(2028, 2, 28), date(2028, 3, 1))
    assert period.days == [date(2028, 2, 28), date(2028, 2, 29), date(2028, 3, 1)]
    assert (period.since, period.until) == (datetime(2028, 2, 28, tzinfo=UTC), datetime(2028, 3, 2, tzinfo=UTC))
    assert last_days(3, datetime(2028, 3, 1, 23, 59, tzinfo=UTC)) == period


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-13", "2026-00", "2026-1", "1999-12", "2200-01", "26-11", "2026-11-01", "٢٠٢٦-11", "x"]
)
def test_what_names_no_month(text: str) -> None:
    assert parse_month(text) is None
