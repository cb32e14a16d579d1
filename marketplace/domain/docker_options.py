"""The options of ``docker run`` as people write them in one line: variables and ports.

``-e TZ=UTC -p 8080:8080/tcp`` is ``{"TZ": "UTC", "-p 8080:8080/tcp": "1"}`` in the API's ``env`` object.
"""

import shlex
from collections.abc import Iterable, Mapping

from marketplace.domain.query_fields import shown
from marketplace.errors import MarketError

_VARIABLE = ("-e", "--env")
_PORT = ("-p", "--publish")


def env_object(text: str) -> dict[str, str]:
    """The line as the API's ``env`` object. Raises MarketError(invalid_args) for what is neither of the two.

    Options with another letter are kept as they are, for the reader of the object to refuse by name.
    """
    words = iter(_words(text))
    found: dict[str, str] = {}
    for word in words:
        option, value = _option(word)
        if not option:
            raise _refusal(f"{shown(word)} stands alone: write -e NAME=value or -p 8080:8080.")
        if value is None:
            value = next(words, None)
        if value is None:
            raise _refusal(f"{shown(option)} needs a value behind it.")
        if option in _VARIABLE:
            name, equals, content = value.partition("=")
            if not equals or not name:
                raise _refusal(f"{shown(value)} is not a variable: write -e NAME=value.")
            found[name] = content
        else:
            found[f"-p {value}" if option in _PORT else f"{option} {value}"] = "1"
    return found


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise _refusal(f"This can't be split into words: {str(error).lower()}.") from error


def _option(word: str) -> tuple[str, str | None]:
    """The option and the value written onto it, if any; an empty option where the word is none."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, value if equals else None
    if word.startswith("-") and len(word) > 1:
        return word[:2], word[2:] or None
    return "", None


def options_text(env: Mapping[str, str], ports: Iterable[tuple[int, str]]) -> str:
    """Variables and ports in one line, which ``env_object`` reads back."""
    words = [f"-e {shlex.quote(f'{name}={value}')}" for name, value in env.items()]
    return " ".join([*words, *(f"-p {port}:{port}/{protocol}" for port, protocol in ports)])


def _refusal(message: str) -> MarketError:
    return MarketError("invalid_args", message, field="env")
