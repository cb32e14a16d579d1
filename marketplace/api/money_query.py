"""What requests about money ask for: times, days, kinds, pages."""

import base64
import binascii
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from billing.domain.periods import FIRST_YEAR, LAST_YEAR, Period, midnight
from marketplace.api.wire import Fields
from marketplace.domain.query_fields import invalid, shown, suggestion
from marketplace.domain.query_values import number
from marketplace.errors import MarketError

MOST_DAYS = 366
MOST_PER_PAGE = 100
USUAL_PER_PAGE = 20
SECONDS_PER_DAY = 86_400
_REST_OF_SECOND = timedelta(microseconds=999_999)
_EARLIEST = midnight(date(FIRST_YEAR, 1, 1))
_LATEST = midnight(date(LAST_YEAR + 1, 1, 1))


def query_fields(query: Mapping[str, str]) -> Fields:
    """The query arguments as typed fields: clients send everything but texts as JSON."""
    return Fields({name: _value(text) for name, text in query.items()})


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text


def instant(seconds: float, field: str) -> datetime:
    """The instant so many seconds after 1970. Raises MarketError(invalid_args) for those beyond the calendar."""
    if not math.isfinite(seconds) or not _EARLIEST.timestamp() <= seconds < _LATEST.timestamp():
        raise MarketError("invalid_args", f"{field}: {shown(seconds)} is no time that bills know.", field=field)
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)


def span(since: datetime, until: datetime, field: str) -> tuple[datetime, datetime]:
    """Both, in order and not too far apart. Raises MarketError(invalid_args)."""
    if since > until:
        raise MarketError("invalid_args", f"{field} ends before it begins.", field=field)
    if until - since > timedelta(days=MOST_DAYS):
        raise MarketError("invalid_args", f"{field} spans more than {MOST_DAYS} days.", field=field)
    return since, until


def day_span(first: float, last: float, field: str) -> Period:
    """Days counted since 1970, whole ones, from ``first`` to ``last``. Raises MarketError(invalid_args)."""
    begin, end = instant(first * SECONDS_PER_DAY, field), instant(last * SECONDS_PER_DAY, field)
    span(midnight(begin.date()), midnight(end.date()), field)
    return Period(begin.date(), end.date())


class Filters:
    """``select_filters``: a range of times under one name, a list of words under another."""

    def __init__(self, filters: Mapping[str, Any], *, times: str, words: str) -> None:
        unknown = next((name for name in filters if name not in (times, words)), None)
        if unknown is not None:
            known = (times, words)
            raise invalid(f"There is no column {shown(unknown)}.{suggestion(unknown, known)}", "select_filters")
        self._times, self._words = times, words
        self._range = _object(filters.get(times), times)
        self._list = _object(filters.get(words), words)

    def span(self, now: datetime) -> tuple[datetime, datetime]:
        """The range; without it the last week."""
        bounds = {name: self._bound(name) for name in ("gte", "lte")}
        until = bounds["lte"] or now
        since = bounds["gte"] or until - timedelta(days=7)
        return span(since, until, self._times)

    def _bound(self, name: str) -> datetime | None:
        value = self._range.get(name)
        if value is None:
            return None
        seconds = number(value)
        if seconds is None:
            raise invalid(f"{self._times}: {name} needs seconds since 1970, not {shown(value)}.", self._times)
        at = instant(seconds, self._times)
        # Clients cut their clock to seconds; what happened within the last of them is meant too.
        return at + _REST_OF_SECOND if name == "lte" and seconds == int(seconds) else at

    def words(self, known: Iterable[str]) -> list[str] | None:
        """The words asked for, None for all. Raises MarketError(invalid_query) for those that are not ``known``."""
        asked = self._list.get("in")
        if asked is None:
            return None
        words = asked if isinstance(asked, list) else [asked]
        allowed = list(known)
        wrong = next((word for word in words if word not in allowed), None)
        if wrong is not None:
            hint = suggestion(str(wrong), allowed)
            raise invalid(f"{self._words}: {shown(wrong)} is not known.{hint}", self._words)
        return words


def _object(value: object, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not set(value) <= {"gte", "lte", "in"}:
        raise invalid(f"{name} takes gte, lte or in.", name)
    return value


def limit_of(fields: Fields) -> int:
    """Rows per page; whoever asks for more than 100 gets 100 and a token for the rest."""
    limit = fields.number("limit", float(USUAL_PER_PAGE))
    if limit is None or limit < 1:
        raise invalid(f"limit must be a number from 1 to {MOST_PER_PAGE}, not {shown(limit)}.", "limit")
    return int(min(limit, MOST_PER_PAGE))


def token_of(values: Sequence[int | str]) -> str:
    """Where a page ends, for the next one to begin behind it."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


def values_of_token(fields: Fields, types: Sequence[type]) -> list[Any] | None:
    """What ``token_of`` put into ``after_token``; None without one. Raises MarketError(invalid_query)."""
    token = fields.get("after_token")
    if token in (None, ""):
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(str(token).encode()))
    except (ValueError, binascii.Error, RecursionError):
        values = None
    if not isinstance(values, list) or [type(value) for value in values] != list(types) or not _storable(values):
        raise invalid(
            "after_token does not belong to this listing: use the next_token of its last page.", "after_token"
        )
    return values


def _storable(values: Sequence[Any]) -> bool:
    return all(not isinstance(value, int) or 0 <= value < 2**63 for value in values)
