"""Form fields for money and dates as hosts and clients write them."""

import shlex
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from billing.domain.errors import InvalidAmountError
from billing.domain.money import exact_dollars, parse_dollars


class DollarsField(forms.CharField):
    """Dollars in the browser ("0.25"), integer micro-dollars in Python."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}))
        super().__init__(**options)

    def prepare_value(self, value: Any) -> Any:
        return exact_dollars(value) if isinstance(value, int) else value

    def to_python(self, value: Any) -> Any:
        text = (super().to_python(value) or "").removeprefix("$")
        if text in self.empty_values:
            return None
        try:
            return parse_dollars(text)
        except InvalidAmountError as error:
            raise ValidationError(str(error)) from error


class CommandField(forms.CharField):
    """A command line in the browser, its words in Python; quotes work as in a shell."""

    def prepare_value(self, value: Any) -> Any:
        return shlex.join(value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        try:
            return tuple(shlex.split(super().to_python(value) or ""))
        except ValueError as error:
            raise ValidationError(f"This can't be split into words: {str(error).lower()}.") from error


class EndOfDayField(forms.DateField):
    """A day in the browser; in Python the first instant after it, in UTC."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
        super().__init__(**options)

    def prepare_value(self, value: Any) -> Any:
        return (value - timedelta(microseconds=1)).date() if isinstance(value, datetime) else value

    def clean(self, value: Any) -> Any:
        day: date | None = super().clean(value)
        if day is None:
            return None
        try:
            return datetime.combine(day, time(), UTC) + timedelta(days=1)
        except OverflowError as error:
            raise ValidationError("This day is too far away.") from error
