"""Where webhooks may go: which URLs are taken, and which addresses are never connected to."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

from hosting.domain.addresses import is_public

URL_MAX_CHARS = 2000

_LOOKS_LIKE_A_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)


class BadUrlError(ValueError):
    """The URL can't be taken; the message says why and what to write instead."""


def checked_url(text: str, *, http_allowed: bool, private_allowed: bool) -> str:
    """The URL as it is stored, its host in ASCII and lower case. Raises BadUrlError.

    Where the host's name leads to is not looked at here: that may change, and is checked at every connection.
    """
    url = text.strip()
    if not url:
        raise BadUrlError("Give the URL that events are sent to.")
    if len(url) > URL_MAX_CHARS:
        raise BadUrlError(f"The URL is longer than {URL_MAX_CHARS} characters.")
    if not url.isprintable() or " " in url or "\\" in url:
        raise BadUrlError("The URL contains spaces, backslashes or invisible characters. Write them as %20 and so on.")
    parts = _split(url)
    _check_scheme(parts.scheme, http_allowed=http_allowed)
    if parts.username is not None or parts.password is not None:
        raise BadUrlError("Leave user name and password out of the URL: signatures tell that events come from us.")
    if parts.fragment:
        raise BadUrlError("Leave out the part from # on: it is never sent.")
    return _spelled(parts, host=_checked_host(parts.hostname or "", private_allowed=private_allowed))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise BadUrlError("This is not a URL. Write it like https://example.com/hooks.") from error
    if parts.port == 0:
        raise BadUrlError("Port 0 can't be connected to.")
    return parts


def _check_scheme(scheme: str, *, http_allowed: bool) -> None:
    if scheme not in ("http", "https"):
        raise BadUrlError("The URL must begin with https://.")
    if scheme == "http" and not http_allowed:
        raise BadUrlError("The URL must begin with https://: what we send must not be readable on its way.")


def _checked_host(host: str, *, private_allowed: bool) -> str:
    literal = literal_address(host)
    if literal is not None:
        if not private_allowed and not is_public(literal):
            raise BadUrlError("This address is not public. Events are sent to addresses on the open internet only.")
        return f"[{literal}]" if isinstance(literal, IPv6Address) else str(literal)
    name = _ascii(host)
    labels = name.rstrip(".").split(".")
    if _LOOKS_LIKE_A_NUMBER.fullmatch(labels[-1]):
        raise BadUrlError("Write the IP address as four decimal numbers, like 198.51.100.7.")
    local = labels[-1] in ("localhost", "local", "internal") or len(labels) == 1
    if local and not private_allowed:
        raise BadUrlError("This name is not public. Events are sent to hosts on the open internet only.")
    return name


def literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address that the host is written as; None when it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _ascii(host: str) -> str:
    try:
        name = host.encode("idna").decode().lower()
    except UnicodeError as error:
        raise BadUrlError("The host's name in the URL is not a valid one.") from error
    if not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_.])?", name) or ".." in name:
        raise BadUrlError("The host's name in the URL is missing or not a valid one.")
    return name


def _spelled(parts: SplitResult, *, host: str) -> str:
    port = f":{parts.port}" if parts.port is not None else ""
    path = _quoted(parts.path) or "/"
    query = f"?{_quoted(parts.query)}" if parts.query else ""
    spelled = f"{parts.scheme}://{host}{port}{path}{query}"
    if len(spelled) > URL_MAX_CHARS:
        raise BadUrlError(f"The URL is longer than {URL_MAX_CHARS} characters.")
    return spelled


def _quoted(text: str) -> str:
    """Letters outside ASCII as their UTF-8 percent codes; all else stays as it was typed."""
    return "".join(char if char.isascii() else "".join(f"%{byte:02X}" for byte in char.encode()) for char in text)
