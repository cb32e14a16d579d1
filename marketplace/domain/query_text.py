"""Search conditions as one writes them: ``gpu_ram_GB >= 24, num_gpus in [1, 2]``, and back from the query object."""

import json
import re
from collections.abc import Mapping

from marketplace.domain.query_fields import OPERATOR_NAMES, invalid, shown

_CONDITION = re.compile(
    r"(?P<field>[A-Za-z_][A-Za-z0-9_]*)\s*(?P<operator>>=|<=|!=|==|=|>|<|\bnotin\b|\bin\b)\s*"
    r"(?P<value>\[[^\]]*\]|\"[^\"]*\"|'[^']*'|[^\s,]+)\s*,?\s*"
)
_SIGNS = {"eq": "=", "neq": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "in": "in", "notin": "notin"}


def query_of_text(text: str) -> dict[str, dict[str, object]]:
    """The query object of a text; its values stay texts, which ``parse_query`` takes. Raises invalid_query."""
    found: dict[str, dict[str, object]] = {}
    place = len(text) - len(text.lstrip(" ,\r\n\t"))
    while place < len(text):
        match = _CONDITION.match(text, place)
        if match is None:
            raise invalid(f"{shown(text[place:].strip())} is no condition. Write for example: gpu_ram_GB >= 24")
        value: object = match["value"].strip("\"'")
        if match["value"].startswith("["):
            value = [part.strip().strip("\"'") for part in match["value"][1:-1].split(",") if part.strip()]
        found.setdefault(match["field"], {})[OPERATOR_NAMES[match["operator"]]] = value
        place = match.end()
    return found


def conditions_of_query(query: Mapping[str, object]) -> list[str]:
    """One text for each condition of a query object, which ``query_of_text`` reads back."""
    return [
        f"{field} {_SIGNS.get(OPERATOR_NAMES.get(operator, operator), operator)} {_value(value)}"
        for field, tests in query.items()
        for operator, value in _tests(tests).items()
    ]


def _tests(tests: object) -> Mapping[str, object]:
    if isinstance(tests, Mapping):
        return tests
    return {"in" if isinstance(tests, list) else "eq": tests}


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, str):
        return f'"{value}"' if re.search(r"[\s,\[\]]", value) or not value else value
    return json.dumps(value)
