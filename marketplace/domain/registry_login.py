"""A login to a registry in one line, as the command-line client sends it: ``-u bob -p secret docker.io``."""

import shlex

from hosting.domain.registries import HUB, Login, registry_name
from marketplace.errors import MarketError

_USER = ("-u", "--username")
_PASSWORD = ("-p", "--password")


def login_of_line(line: str) -> Login | str:
    """The login; or the registry alone where neither user nor password is named, which asks for a stored login.

    Raises MarketError(invalid_args), which says nothing of what was in the line.
    """
    found: dict[str, str] = {}
    words = iter(_words(line))
    for word in words:
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name in _USER or name in _PASSWORD:
            found["username" if name in _USER else "password"] = value if equals else next(words, "")
        elif word.startswith("-") and len(word) > 2 and word[:2] in ("-u", "-p"):
            found["username" if word[1] == "u" else "password"] = word[2:]
        elif "registry" in found or word.startswith("-"):
            raise _refusal()
        else:
            found["registry"] = word
    registry = registry_name(found.get("registry", HUB))
    if "username" not in found and "password" not in found:
        return registry
    if not found.get("username") or not found.get("password"):
        raise _refusal()
    return Login(registry=registry, username=found["username"], password=found["password"])


def _words(line: str) -> list[str]:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise _refusal() from error
    return [word for word in words if word not in ("docker", "login")]


def _refusal() -> MarketError:
    message = "image_login is not a login. Write: -u USER -p PASSWORD docker.io"
    return MarketError("invalid_args", message, field="image_login")
