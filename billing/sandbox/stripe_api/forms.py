"""Form-encoded parameters as Stripe nests them: ``a[b][0]=1`` is ``{"a": {"b": ["1"]}}``."""

import re
from collections.abc import Iterable
from typing import Any

from billing.sandbox.stripe_api.errors import invalid

_NAME = re.compile(r"(?P<first>[^\[\]]+)(?P<rest>(?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")


def decode(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """All values are text still. Raises StripeError for names that contradict each other."""
    root: dict[str, Any] = {}
    for name, value in pairs:
        _place(root, _path(name), value, name)
    return {key: _with_lists(value) for key, value in root.items()}


def _path(name: str) -> list[str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise invalid(f"Invalid parameter name: {name}", param=name)
    return [match["first"], *_PART.findall(match["rest"])]


def _place(root: dict[str, Any], path: list[str], value: str, name: str) -> None:
    node = root
    for part in path[:-1]:
        inner = node.setdefault(part or str(len(node)), {})
        if not isinstance(inner, dict):
            raise invalid(f"Invalid parameter: {name}", param=name)
        node = inner
    last = path[-1] or str(len(node))
    if last in node:
        raise invalid(f"Duplicate parameter: {name}", param=name)
    node[last] = value


def _with_lists(value: Any) -> Any:
    """Dictionaries whose keys count from 0 are lists."""
    if not isinstance(value, dict):
        return value
    if value and list(value) == [str(index) for index in range(len(value))]:
        return [_with_lists(item) for item in value.values()]
    return {key: _with_lists(item) for key, item in value.items()}
