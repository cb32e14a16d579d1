"""JSON in and out."""

from decimal import Decimal
from typing import Any, Never

import msgspec
from django.http import HttpResponse
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from marketplace.domain.query_fields import shown, suggestion
from marketplace.domain.query_values import number
from marketplace.errors import MarketError

MOST_DOLLARS = 1e9


class StrictJsonParser(BaseParser):
    """JSON that Python and PostgreSQL can hold: no NaN, no lone surrogates, no endless nesting."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:  # noqa: ARG002 - the framework's signature
        return parse_json(stream.read())


def parse_json(text: str | bytes) -> Any:
    """The value. Raises ParseError with the place of the mistake."""
    try:
        return msgspec.json.decode(text) if text else {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ParseError(f"This is not JSON: {error}") from error
    except (RecursionError, UnicodeEncodeError) as error:
        raise ParseError("This JSON is nested too deeply or contains half a character.") from error


def reply(payload: Any, status: int = 200) -> HttpResponse:
    """``payload`` as JSON. Clients compare the content type with exactly this text."""
    return HttpResponse(msgspec.json.encode(payload), content_type="application/json", status=status)


class Fields:
    """Typed reading of a JSON object. A field that is absent or null has its default.

    Raises MarketError(invalid_args) naming the field that is of the wrong type.
    """

    def __init__(self, body: object) -> None:
        if not isinstance(body, dict):
            raise MarketError("invalid_args", "The body must be a JSON object.")
        self._body = body

    def __contains__(self, name: str) -> bool:
        return self._body.get(name) is not None

    def get(self, name: str) -> Any:
        """The value as it came."""
        return self._body.get(name)

    def text(self, name: str, default: str = "") -> str:
        """A string without NUL characters, which no database takes."""
        value = self._body.get(name)
        if value is None:
            return default
        if not isinstance(value, str) or "\0" in value:
            self._refuse(name, "a text")
        return value

    def number(self, name: str, default: float | None = None) -> float | None:
        """A number; texts that spell one are taken too."""
        value = self._body.get(name)
        if value is None:
            return default
        found = number(value)
        return self._refuse(name, "a number") if found is None else found

    def micros(self, name: str, default: int = 0) -> int:
        """Dollars as micro-dollars, to the nearest one. Decimal, because a float times a million isn't always whole."""
        dollars = self.number(name)
        if dollars is None:
            return default
        if abs(dollars) > MOST_DOLLARS:
            raise MarketError("invalid_args", f"{name}: {shown(dollars)} is not a price.", field=name)
        return int((Decimal(repr(dollars)) * 1_000_000).to_integral_value())

    def flag(self, name: str) -> bool:
        """True or false; false by default."""
        value = self._body.get(name)
        if not isinstance(value, bool | None):
            self._refuse(name, "true or false")
        return bool(value)

    def texts(self, name: str) -> tuple[str, ...] | None:
        """A list of strings."""
        value = self._body.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) and "\0" not in item for item in value):
            self._refuse(name, "a list of texts")
        return tuple(value)

    def object(self, name: str) -> dict[str, Any]:
        """A JSON object; empty by default."""
        value = self._body.get(name)
        if not isinstance(value, dict | None):
            self._refuse(name, "a JSON object")
        return value or {}

    def refuse_unknown(self, known: frozenset[str]) -> None:
        """Refuse fields that mean nothing here, unless they are null, false or empty."""
        for name, value in self._body.items():
            if name not in known and value not in (None, False, "", [], {}):
                hint = suggestion(name, known)
                raise MarketError("invalid_args", f"There is no field {shown(name)}.{hint}", field=name[:60])

    def _refuse(self, name: str, wanted: str) -> Never:
        raise MarketError("invalid_args", f"{name}: {shown(self._body[name])} is not {wanted}.", field=name)
