"""Requests against the types that the installed Stripe SDK ships for them (``stripe.params``).

Every parameter must be one of the type's, have its form, and be one of the values where the type names them; required
ones must be there. On the wire all values are text: what is returned has numbers and booleans in their types.
"""

import re
import sys
import typing
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from types import NoneType, UnionType
from typing import Any

from stripe import StripeObject
from stripe._request_options import RequestOptions
from stripe._stripe_object import UntypedStripeObject
from typing_extensions import is_typeddict

from billing.sandbox.stripe_api.errors import StripeError, invalid

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,12})?")
_LISTS = (list, typing.List)  # noqa: UP006  # the SDK's annotations name both
_BOOLEANS = {"true": True, "false": False}


def validated(params: Mapping[str, Any], shape: type) -> dict[str, Any]:
    """``params`` as the TypedDict ``shape`` of the SDK has them. Raises StripeError, naming the parameter."""
    return _fields(params, shape, "")


def _fields(params: Mapping[str, Any], shape: type, path: str) -> dict[str, Any]:
    hints, required = _hints(shape)
    for name in params:
        if name not in hints:
            known = _at(path, name)
            raise invalid(f"Received unknown parameter: {known}", param=known, code="parameter_unknown")
    for name in sorted(required - set(params)):
        wanted = _at(path, name)
        raise invalid(f"Missing required param: {wanted}.", param=wanted, code="parameter_missing")
    return {name: _value(value, hints[name], _at(path, name)) for name, value in params.items()}


@cache
def _hints(shape: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """Types by name without the options of the SDK itself, which never go over the wire, and the required names."""
    names = vars(sys.modules[shape.__module__])
    local = set(RequestOptions.__annotations__)
    hints = {
        name: _resolved(hint, names)
        for base in (*shape.__orig_bases__, shape)
        for name, hint in getattr(base, "__annotations__", {}).items()
        if name not in local
    }
    return hints, frozenset(shape.__required_keys__) - local


def _resolved(hint: Any, names: dict[str, Any]) -> Any:
    """The type behind a quoted annotation, at every depth, without NotRequired around it."""
    holder = type("Holder", (), {"__annotations__": {"field": hint}})
    resolved = typing.get_type_hints(holder, {**names, "Literal": typing.Literal}, include_extras=False)["field"]
    is_marked = typing.get_origin(resolved) in (typing.NotRequired, typing.Required)
    return typing.get_args(resolved)[0] if is_marked else resolved


def _value(value: Any, hint: Any, path: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, UnionType):
        return _one_of(value, typing.get_args(hint), path)
    if origin is typing.Literal:
        return _literal(value, typing.get_args(hint), path)
    if origin in _LISTS:
        return _list(value, typing.get_args(hint)[0], path)
    if origin is dict or origin is UntypedStripeObject:
        return _mapping(value, typing.get_args(hint)[-1], path)
    if is_typeddict(hint):
        if not isinstance(value, Mapping):
            raise invalid(f"Invalid object: {path}", param=path)
        return _fields(value, hint, path)
    return _scalar(value, hint, path)


def _one_of(value: Any, choices: tuple[Any, ...], path: str) -> Any:
    """The first choice that fits. ``str`` beside named values only says that the SDK may grow: Stripe takes none but
    those it has named."""
    named = any(
        typing.get_origin(choice) is typing.Literal and set(typing.get_args(choice)) != {""} for choice in choices
    )
    refusal: StripeError | None = None
    for choice in choices:
        if choice is NoneType or (named and choice is str):
            continue
        try:
            return _value(value, choice, path)
        except StripeError as error:
            refusal = refusal if refusal is not None and typing.get_origin(choice) is typing.Literal else error
    raise refusal or invalid(f"Invalid value: {path}", param=path)


def _literal(value: Any, allowed: tuple[Any, ...], path: str) -> Any:
    if value not in allowed:
        names = ", ".join(str(item) for item in allowed if item != "")
        raise invalid(f"Invalid {path}: must be one of {names}", param=path)
    return value


def _list(value: Any, item: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise invalid(f"Invalid array: {path}", param=path)
    return [_value(one, item, f"{path}[{index}]") for index, one in enumerate(value)]


def _mapping(value: Any, item: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise invalid(f"Invalid hash: {path}", param=path)
    return {key: _value(one, item, _at(path, key)) for key, one in value.items()}


def _scalar(value: Any, hint: Any, path: str) -> Any:
    if not isinstance(value, str):
        raise invalid(f"Invalid value: {path}", param=path)
    if hint is bool:
        if value not in _BOOLEANS:
            raise invalid(f"Invalid boolean: {value}", param=path)
        return _BOOLEANS[value]
    if hint in (int, datetime):
        return int(_matching(_INTEGER, value, path, "integer"))
    if hint in (float, Decimal):
        return _matching(_DECIMAL, value, path, "decimal")
    if hint is str or (isinstance(hint, type) and issubclass(hint, StripeObject)):
        return value
    raise TypeError(f"the SDK's type of {path} is not understood: {hint!r}")


def _matching(pattern: re.Pattern[str], value: str, path: str, kind: str) -> str:
    if pattern.fullmatch(value) is None:
        raise invalid(f"Invalid {kind}: {value}", param=path, code=f"parameter_invalid_{kind}")
    return value


def _at(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name
