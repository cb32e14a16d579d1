"""Values of a search as clients send them (mostly strings) turned into what their field compares with."""

import math
import re
import string
from collections.abc import Callable

from marketplace.domain.query_fields import FIELDS, Kind, invalid, shown

Scalar = float | bool | str | tuple[int, ...]

MAX_VALUES = 500
WILDCARDS = frozenset({"any", "?", "*"})
_NULLS = frozenset({"null", "none"})
_FLAG_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,5}")
_DRIVER = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3}){0,2}")
_LARGEST_BARE_MAJOR = 9_999
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold(text: str) -> str:
    """The form in which texts compare: ASCII letters lower, "_" a space."""
    return text.replace("_", " ").translate(_ASCII_LOWER)


def is_wildcard(value: object) -> bool:
    """Whether the value stands for anything at all."""
    return isinstance(value, str) and value.strip().lower() in WILDCARDS


def coerce(field: str, value: object, *, factor: float = 1.0) -> Scalar | None:
    """The value in the type of its field; None asks for "not known". Raises MarketError(invalid_query)."""
    if isinstance(value, str):
        value = value.strip().strip("\"'")
        if value.lower() in _NULLS:
            return None
    if value is None:
        return None
    coerced = _COERCERS[FIELDS[field]](value)
    if coerced is None:
        raise invalid(f"{field}: {shown(value)} is not {_WANTS[FIELDS[field]]}.", field)
    return coerced * factor if FIELDS[field] is Kind.NUMBER and isinstance(coerced, float) else coerced


def coerce_many(field: str, value: object, *, factor: float = 1.0) -> tuple[Scalar | None, ...]:
    """The values of ``in`` and ``notin``: a list, a text "a,b" or "[a, b]", or one value."""
    if isinstance(value, str):
        value = [part for part in value.strip().strip("[]").split(",") if part.strip()]
    values = value if isinstance(value, list) else [value]
    if len(values) > MAX_VALUES:
        raise invalid(f"{field}: a list of {len(values)} values is too long; {MAX_VALUES} is the most.", field)
    return tuple(coerce(field, item, factor=factor) for item in values)


def number(value: object) -> float | None:
    """The finite number that ``value`` is or spells; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and "_" in value:
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def flag(value: object) -> bool | None:
    """The truth value that ``value`` is or spells; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return bool(value) if value in (0, 1) else None
    return _FLAG_WORDS.get(value.lower()) if isinstance(value, str) else None


def _text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = fold(shown(value) if not isinstance(value, str) else value)
    storable = "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
    return text if storable else None


def _country(value: object) -> str | None:
    code = value.rpartition(",")[2].strip().upper() if isinstance(value, str) else ""
    return code if len(code) == 2 and code.isascii() and code.isalpha() else None


def _driver(value: object) -> float | None:
    """A bare number up to 9999 is a major version: "driver_version >= 535" means 535.0.0."""
    if isinstance(value, str) and "." in value and _DRIVER.fullmatch(value):
        major, minor, patch = [*(int(part) for part in value.split(".")), 0][:3]
        return float(major * 1_000_000 + minor * 1_000 + patch)
    found = number(value)
    if found is None or found < 0:
        return None
    return found * 1_000_000 if found <= _LARGEST_BARE_MAJOR else found


def _version(value: object) -> tuple[int, ...] | None:
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _VERSION.fullmatch(text):
        return None
    return tuple(int(part) for part in text.split("."))


_COERCERS: dict[Kind, Callable[[object], Scalar | None]] = {
    Kind.NUMBER: number,
    Kind.FLAG: flag,
    Kind.TEXT: _text,
    Kind.COUNTRY: _country,
    Kind.DRIVER: _driver,
    Kind.VERSION: _version,
}
_WANTS = {
    Kind.NUMBER: "a number",
    Kind.FLAG: "true or false",
    Kind.TEXT: "a text",
    Kind.COUNTRY: "a two-letter country code like SE",
    Kind.DRIVER: "a driver version like 535.86.05",
    Kind.VERSION: "a version like 22.04",
}
