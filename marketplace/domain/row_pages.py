"""Filtering, sorting and paging of an account's own rows: few enough to do it in memory, with any column."""

import base64
import binascii
import json
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from marketplace.domain.query_fields import OPERATOR_NAMES, invalid, shown, suggestion
from marketplace.domain.query_values import number

Row = dict[str, Any]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


@dataclass(frozen=True)
class Page:
    """Some rows, how many there are in all, and where to go on."""

    rows: list[Row]
    total: int
    next_token: str | None


def matching(rows: Iterable[Row], filters: object, columns: Sequence[str]) -> list[Row]:
    """The rows that meet ``{column: {operator: value}}``. Raises MarketError(invalid_query)."""
    if not isinstance(filters, dict):
        raise invalid("select_filters must be a JSON object of columns.", "select_filters")
    tests = [test for name, wanted in filters.items() for test in _tests(known_column(name, columns), wanted)]
    return [row for row in rows if all(test(row) for test in tests)]


def known_column(name: object, columns: Sequence[str]) -> str:
    """The column ``name``. Raises MarketError(invalid_query) with close matches."""
    if not isinstance(name, str) or name not in columns:
        raise invalid(f"There is no column {shown(name)}.{suggestion(str(name), columns)}", str(name)[:60])
    return name


def _tests(column: str, wanted: object) -> list[Callable[[Row], bool]]:
    pairs = wanted if isinstance(wanted, dict) else {"in" if isinstance(wanted, list) else "eq": wanted}
    return [_test(column, str(name), value) for name, value in pairs.items()]


def _test(column: str, name: str, wanted: Any) -> Callable[[Row], bool]:
    canonical = OPERATOR_NAMES.get(" ".join(name.lower().split()))
    if canonical is None:
        raise invalid(f"{column}: there is no operator {shown(name)}.{suggestion(name, OPERATOR_NAMES)}", column)
    if canonical in ("in", "notin"):
        many = wanted if isinstance(wanted, list) else [wanted]
        return lambda row: any(_same(row.get(column), item) for item in many) == (canonical == "in")
    if canonical in ("eq", "neq"):
        return lambda row: _same(row.get(column), wanted) == (canonical == "eq")
    bound = number(wanted)
    if bound is None:
        raise invalid(f"{column}: {canonical} needs a number, not {shown(wanted)}.", column)
    return lambda row: _is_number(row.get(column)) and _COMPARE[canonical](row[column], bound)


def _same(value: Any, wanted: Any) -> bool:
    """Equal, where a text may spell the number or truth that the column holds."""
    if isinstance(wanted, str) and isinstance(value, bool):
        return wanted.lower() == str(value).lower()
    if isinstance(wanted, str) and _is_number(value):
        return bool(number(wanted) == value)
    alike = type(value) is type(wanted) or (_is_number(value) and _is_number(wanted))
    return alike and bool(value == wanted)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def page_of(rows: list[Row], order: object, *, limit: int, after: str | None, columns: Sequence[str]) -> Page:
    """The first ``limit`` rows behind the row that the token ``after`` stands for, in the order asked for.

    The token holds that row's sort values, so rows that come and go between two pages neither repeat nor hide
    others. Rows without a value come last. Raises MarketError: invalid_query, invalid_token.
    """
    keys = _sort_keys(order, columns)
    in_order = _sorted(rows, keys)
    if after is not None:
        last = _row_of_token(after, keys)
        in_order = [row for row in in_order if _comes_after(row, last, keys)]
    page = in_order[:limit]
    token = _token(page[-1], keys) if len(in_order) > limit else None
    return Page(page, len(rows), token)


def _sort_keys(order: object, columns: Sequence[str]) -> list[tuple[str, bool]]:
    """(column, descending) pairs, always ending with the id, which tells equal rows apart."""
    entries = order if isinstance(order, list) else None
    if entries is None or not all(isinstance(entry, dict) for entry in entries):
        raise invalid('order_by must be a list like [{"col": "id", "dir": "asc"}].', "order_by")
    keys = []
    for entry in entries:
        direction = str(entry.get("dir", "asc")).lower()
        if direction not in ("asc", "desc"):
            raise invalid(f"order_by: dir must be asc or desc, not {shown(direction)}.", "order_by")
        keys.append((known_column(entry.get("col"), columns), direction == "desc"))
    return keys if any(column == "id" for column, _ in keys) else [*keys, ("id", False)]


def _rank(value: Any) -> tuple[int, Any]:
    """A value that compares with every other: numbers, then texts, then anything else by its text."""
    if isinstance(value, bool | int | float):
        return 0, value  # as it is: Python compares them exactly, and a made-up token may hold more than a float can
    return (1, value) if isinstance(value, str) else (2, json.dumps(value, sort_keys=True, default=str))


def _sorted(rows: list[Row], keys: list[tuple[str, bool]]) -> list[Row]:
    in_order = list(rows)
    for column, descending in reversed(keys):
        known = [row for row in in_order if row.get(column) is not None]
        unknown = [row for row in in_order if row.get(column) is None]
        in_order = sorted(known, key=lambda row: _rank(row[column]), reverse=descending) + unknown
    return in_order


def _comes_after(row: Row, last: Row, keys: list[tuple[str, bool]]) -> bool:
    for column, descending in keys:
        mine, its = row.get(column), last.get(column)
        if mine is None or its is None:
            if mine is its:
                continue
            return mine is None
        if _rank(mine) != _rank(its):
            return (_rank(mine) > _rank(its)) != descending
    return False


def _token(row: Row, keys: list[tuple[str, bool]]) -> str:
    values = {column: row.get(column) for column, _ in keys}
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


def _row_of_token(token: str, keys: list[tuple[str, bool]]) -> Row:
    try:
        row = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, binascii.Error, RecursionError):
        row = None
    if not isinstance(row, dict) or set(row) != {column for column, _ in keys}:
        raise invalid(
            "after_token does not belong to this listing: use the next_token of its last page.", "after_token"
        )
    return row
