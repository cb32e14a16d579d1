"""The search language: a JSON object of conditions, order and limit, parsed into typed values.

``{"num_gpus": {"gte": "2"}, "gpu_name": {"in": ["RTX 4090"]}, "order": [["dph_total", "asc"]], "limit": 20}``

``dlperf_precision`` and ``dlperf_image`` are no conditions: they say what DLPerf, and all that is reckoned from it, is
to stand for.

Each key names a field and holds one or more ``operator: value`` pairs that must all be true; a bare value
means ``eq`` and a bare list ``in``. What is not known about an offer satisfies no comparison, only
``{"eq": null}`` finds it. The value "any" with ``eq`` stands for every offer. Unless the query speaks of
``rentable``, only offers that can be rented now are found.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from dlperf.domain.mixes import BALANCED_ADAPTATION, Adaptation
from marketplace.domain.auto_order import NOTHING_ASKED, Asked, Bound, asked_by
from marketplace.domain.query_adaptation import adaptation
from marketplace.domain.query_fields import canonical_field, canonical_operator, invalid, shown, suggestion
from marketplace.domain.query_values import Scalar, coerce, coerce_many, is_wildcard, number

DEFAULT_LIMIT = 64
MAX_LIMIT = 5000
DEFAULT_STORAGE_GB = 5.0
MAX_STORAGE_GB = 1_000_000.0
MAX_ORDER_COLUMNS = 10
MAX_CONDITIONS = 100
"""Anyone may search, and each condition costs work before the database is even asked."""


class Pricing(StrEnum):
    """Which price of an offer counts."""

    ON_DEMAND = "on-demand"
    BID = "bid"
    """The lowest bid that would run now."""
    RESERVED = "reserved"
    """As on demand: there are no discounts for paying ahead."""


_PRICINGS = {
    "on-demand": Pricing.ON_DEMAND,
    "ondemand": Pricing.ON_DEMAND,
    "bid": Pricing.BID,
    "interruptible": Pricing.BID,
    "reserved": Pricing.RESERVED,
}
_CONTROLS = (
    "order",
    "type",
    "limit",
    "allocated_storage",
    "target_reliability",
    "disable_bundling",
    "dlperf_precision",
    "dlperf_image",
)
_IGNORED = frozenset({"client_id", "api_key", "disable_bundling"})
"""Sent by some clients and without meaning here: who asks is in the header, and offers are never bundled."""


@dataclass(frozen=True)
class Condition:
    """``operator`` is eq neq gt gte lt lte (one value) or in notin (a tuple); None means "not known"."""

    field: str
    operator: str
    value: Scalar | tuple[Scalar | None, ...] | None


@dataclass(frozen=True)
class Order:
    """One sort column; offers of which it is not known come last either way."""

    field: str
    descending: bool = False


BEST_FIRST = (Order("score", descending=True),)
RENTABLE = Condition("rentable", "eq", True)


@dataclass(frozen=True)
class OfferQuery:
    """A search ready to run. ``storage_gb`` is the disk that prices include, ``adaptation`` what DLPerf stands for."""

    conditions: tuple[Condition, ...] = (RENTABLE,)
    order: tuple[Order, ...] = BEST_FIRST
    limit: int = DEFAULT_LIMIT
    storage_gb: float = DEFAULT_STORAGE_GB
    pricing: Pricing = Pricing.ON_DEMAND
    asked: Asked = NOTHING_ASKED
    """What ``score`` and ``fit`` measure offers by."""
    adaptation: Adaptation = BALANCED_ADAPTATION


def parse_query(body: object) -> OfferQuery:
    """The search that a query object asks for. Raises MarketError(invalid_query) naming what is wrong."""
    if not isinstance(body, dict):
        raise invalid('A query is a JSON object like {"num_gpus": {"gte": 2}}.')
    _refuse_too_many(body)
    conditions = tuple(_conditions(body))
    if not any(canonical_name(key) == "rentable" for key in body):
        conditions = (RENTABLE, *conditions)
    return OfferQuery(
        conditions=conditions,
        order=_order(body.get("order")),
        limit=_limit(body.get("limit")),
        storage_gb=_storage(body.get("allocated_storage")),
        pricing=_pricing(body.get("type")),
        asked=asked_by(Bound(each.field, each.operator, each.value) for each in conditions),
        adaptation=adaptation(body.get("dlperf_precision"), body.get("dlperf_image")),
    )


def narrowed(query: OfferQuery, more: OfferQuery) -> OfferQuery:
    """``query`` with the conditions of ``more`` besides its own; whether offers must be rentable is its own to say."""
    added = tuple(each for each in more.conditions if each.field != "rentable" and each not in query.conditions)
    conditions = query.conditions + added
    asked = asked_by(Bound(each.field, each.operator, each.value) for each in conditions)
    return replace(query, conditions=conditions, asked=asked)


def canonical_name(key: object) -> str:
    """The field a key of the query speaks of, or the key itself when it is none."""
    if not isinstance(key, str) or key in _CONTROLS or key in _IGNORED:
        return str(key)
    return canonical_field(key)[0]


def _refuse_too_many(body: dict[str, object]) -> None:
    """Counts what was sent, not what comes of it: a wildcard is no condition, but reading it costs the same."""
    sent = (tests for key, tests in body.items() if key not in _CONTROLS and key not in _IGNORED)
    count = sum(len(tests) if isinstance(tests, dict) else 1 for tests in sent)
    if count > MAX_CONDITIONS:
        raise invalid(f"The query has {count} conditions; {MAX_CONDITIONS} is the most.")


def _conditions(body: dict[str, object]) -> Iterator[Condition]:
    for key, tests in body.items():
        if key == "allocated_storage" and tests is not None:
            yield Condition("disk_space", "gte", _storage(tests))
        elif key == "target_reliability" and tests is not None:
            yield Condition("reliability", "gte", _bound(tests, "target_reliability"))
        elif key not in _CONTROLS and key not in _IGNORED:
            yield from _field_conditions(key, tests)


def _field_conditions(key: str, tests: object) -> Iterator[Condition]:
    field, factor = canonical_field(key)
    if not isinstance(tests, dict):
        tests = {"in" if isinstance(tests, list) else "eq": tests}
    for name, value in tests.items():
        operator = canonical_operator(name, field)
        if operator in ("in", "notin"):
            yield Condition(field, operator, coerce_many(field, value, factor=factor))
        elif not (operator == "eq" and is_wildcard(value)):
            yield _comparison(field, operator, value, factor)


def _comparison(field: str, operator: str, value: object, factor: float) -> Condition:
    if isinstance(value, list):
        raise invalid(f"{field}: {operator} takes one value; use in or notin for a list.", field)
    coerced = coerce(field, value, factor=factor)
    if coerced is None and operator not in ("eq", "neq"):
        raise invalid(f"{field}: {operator} needs a value to compare with.", field)
    return Condition(field, operator, coerced)


def _bound(tests: object, name: str) -> float:
    """A lower bound given as a number or as one comparison with a number."""
    if isinstance(tests, dict) and len(tests) == 1:
        operator, tests = next(iter(tests.items()))
        if operator not in ("eq", "gte", "=", "==", ">="):
            raise invalid(f"{name} is a lower bound: give a number.", name)
    found = number(tests)
    if found is None:
        raise invalid(f"{name}: {shown(tests)} is not a number.", name)
    return found


def _storage(value: object) -> float:
    if value is None:
        return DEFAULT_STORAGE_GB
    gigabytes = _bound(value, "allocated_storage")
    if not 0 <= gigabytes <= MAX_STORAGE_GB:
        raise invalid(f"allocated_storage must be between 0 and {MAX_STORAGE_GB:.0f} GB.", "allocated_storage")
    return gigabytes


def _limit(value: object) -> int:
    if value is None:
        return DEFAULT_LIMIT
    limit = number(value)
    if limit is None or limit != int(limit) or not 1 <= limit <= MAX_LIMIT:
        raise invalid(f"limit must be a whole number between 1 and {MAX_LIMIT}, not {shown(value)}.", "limit")
    return int(limit)


def _pricing(value: object) -> Pricing:
    if value is None:
        return Pricing.ON_DEMAND
    pricing = _PRICINGS.get(value.strip().lower()) if isinstance(value, str) else None
    if pricing is None:
        raise invalid(f"type must be one of {', '.join(_PRICINGS)}, not {shown(value)}.", "type")
    return pricing


def _order(value: object) -> tuple[Order, ...]:
    if value is None or value == []:
        return BEST_FIRST
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if not isinstance(value, list) or len(value) > MAX_ORDER_COLUMNS:
        raise invalid(f'order must be a list of at most {MAX_ORDER_COLUMNS} [field, "asc" or "desc"].', "order")
    if len(value) == 2 and all(isinstance(part, str) for part in value) and _is_direction(value[1]):
        value = [value]
    return tuple(_order_column(entry) for entry in value)


def _order_column(entry: object) -> Order:
    name, direction = entry, "asc"
    if isinstance(entry, dict):
        name, direction = entry.get("col", entry.get("field")), entry.get("dir", "asc")
    elif isinstance(entry, list) and len(entry) in (1, 2):
        name, direction = entry[0], entry[1] if len(entry) == 2 else "asc"
    if not isinstance(name, str):
        raise invalid(f'order: {shown(entry)} is not a [field, "asc" or "desc"].', "order")
    if not isinstance(direction, str) or not _is_direction(direction):
        hint = suggestion(str(direction), ("asc", "desc"))
        raise invalid(
            f"order: the direction of {shown(name)} must be asc or desc, not {shown(direction)}.{hint}",
            "order",
        )
    minus = name.strip() != name.strip().strip("-")
    field, _ = canonical_field(name.strip().strip("+-"))
    return Order(field, descending=direction.strip().lower() == "desc" or minus)


def _is_direction(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() in ("asc", "desc")
