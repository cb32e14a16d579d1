"""Which days a page is about."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from django import forms

from billing.domain.periods import FIRST_YEAR, LAST_YEAR, Period

DEFAULT_DAYS = 30
MOST_DAYS = 366


class _DayField(forms.DateField):
    def __init__(self, label: str) -> None:
        widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
        super().__init__(label=label, required=False, input_formats=["%Y-%m-%d"], widget=widget)

    def validate(self, value: Any) -> None:
        super().validate(value)
        if isinstance(value, date) and not FIRST_YEAR <= value.year <= LAST_YEAR:
            raise forms.ValidationError(f"The year must be between {FIRST_YEAR} and {LAST_YEAR}.")


class PeriodForm(forms.Form):
    """Two days; without them the last thirty. ``today`` is the present day in UTC."""

    first = _DayField("From")
    last = _DayField("To")

    def __init__(self, data: Mapping[str, Any], *, today: date) -> None:
        self.usual = Period(today - timedelta(days=DEFAULT_DAYS - 1), today)
        super().__init__(_filled(data, self.usual))

    def clean(self) -> dict[str, Any]:
        days = self.cleaned_data
        first, last = days.get("first"), days.get("last")
        if first and last and first > last:
            self.add_error("last", "This day is before the first one.")
        elif first and last and Period(first, last).days_count > MOST_DAYS:
            self.add_error("first", f"A period has at most {MOST_DAYS} days.")
        return days

    @property
    def period(self) -> Period:
        """The days asked for; the usual ones while they make no sense."""
        return Period(self.cleaned_data["first"], self.cleaned_data["last"]) if self.is_valid() else self.usual


def _filled(data: Mapping[str, Any], usual: Period) -> dict[str, Any]:
    """What was asked for, where a day that is left out is the usual one; after a first day, thirty days of it."""
    first, last = (str(data.get(name, "")).strip() for name in ("first", "last"))
    return {"first": first or _days_before(last, usual), "last": last or usual.last.isoformat()}


def _days_before(last: str, usual: Period) -> str:
    try:
        return (date.fromisoformat(last) - timedelta(days=DEFAULT_DAYS - 1)).isoformat()
    except (ValueError, OverflowError):
        return usual.first.isoformat()
