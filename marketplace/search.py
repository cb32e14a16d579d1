"""Search of offers: a parsed query compiled to one SQL query, its rows as the JSON objects of the API.

Used by the API and the search page. Retired offers are never found.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.db.models.expressions import OrderBy
from django.db.models.lookups import (
    Exact,
    GreaterThan,
    GreaterThanOrEqual,
    In,
    IsNull,
    LessThan,
    LessThanOrEqual,
)

from marketplace.domain.query import Condition, OfferQuery, Order
from marketplace.domain.query_fields import FIELDS, Kind
from marketplace.models import Offer
from marketplace.offer_json import COLUMNS, Quote, offer_json
from marketplace.search_columns import Column, compared

_COMPARISONS: dict[str, Callable[[Column, Any], Any]] = {
    "eq": Exact,
    "gt": GreaterThan,
    "gte": GreaterThanOrEqual,
    "lt": LessThan,
    "lte": LessThanOrEqual,
}


def search_offers(query: OfferQuery, *, now: datetime) -> list[dict[str, Any]]:
    """The offers that meet every condition, in the order asked for, at most ``query.limit`` of them."""
    quote = Quote(now, query.storage_gb, query.pricing, query.asked, query.adaptation)
    where = Q(*(_compiled(condition, quote) for condition in query.conditions))
    order = [_ordering(order, quote) for order in query.order]
    return _rows(where, quote, limit=query.limit, order=order)


def offer_find(offer_id: int, *, quote: Quote) -> dict[str, Any] | None:
    """One live offer as JSON, rentable or not; None when it was replaced, taken or never existed."""
    rows = _rows(Q(pk=offer_id), quote, limit=1)
    return rows[0] if rows else None


def gpu_names() -> list[str]:
    """The GPU models on the market, rented out or not, by name."""
    live = Offer.objects.filter(retired_at=None).order_by("gpu_name")
    return list(live.values_list("gpu_name", flat=True).distinct())


def _rows(where: Q, quote: Quote, *, limit: int, order: Sequence[OrderBy] = ()) -> list[dict[str, Any]]:
    live = Offer.objects.filter(where, retired_at=None).order_by(*order, "pk")
    return [offer_json(row, quote) for row in live.values(*COLUMNS)[:limit]]


def _compiled(condition: Condition, quote: Quote) -> Any:
    """The condition in SQL. Its three-valued logic is the rule that unknown facts satisfy nothing but eq null."""
    column = compared(condition.field, quote)
    value: Any = condition.value
    if FIELDS[condition.field] is Kind.VERSION:
        value = _as_arrays(value)
    match condition.operator:
        case "in":
            return _one_of(column, value)
        case "notin":
            return ~_one_of(column, value)
        case "neq":
            return Q(IsNull(column, False)) if value is None else ~Q(Exact(column, value))
        case "eq" if value is None:
            return Q(IsNull(column, True))
    return Q(_COMPARISONS[condition.operator](column, value))


def _one_of(column: Column, values: Any) -> Q:
    known = [value for value in values if value is not None]
    matches = Q(In(column, known))
    return matches | Q(IsNull(column, True)) if len(known) < len(values) else matches


def _as_arrays(value: Any) -> Any:
    """Version tuples as the lists that PostgreSQL arrays are made of."""
    if isinstance(value, tuple) and value and not isinstance(value[0], int):
        return [None if item is None else list(item) for item in value]
    return list(value) if isinstance(value, tuple) else value


def _ordering(order: Order, quote: Quote) -> OrderBy:
    return OrderBy(compared(order.field, quote), descending=order.descending, nulls_last=True)
