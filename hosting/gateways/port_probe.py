"""Looks from here whether a port of a machine answers with the word that its agent was given."""

import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from hosting.domain.port_checks import may_connect

CONNECT_SECONDS = 3.0
READ_SECONDS = 3.0
_MOST_BYTES = 64


def answering(address: str, words: Mapping[int, str], *, dialled_from: str, allow_private: bool) -> set[int]:
    """Those of the ports that answer with their word. All are tried at the same time; nothing is sent.

    The name is resolved once, each address it has is judged, and the connection goes to one that was.
    """
    target = _resolve(address, dialled_from=dialled_from, allow_private=allow_private)
    if target is None or not words:
        return set()
    with ThreadPoolExecutor(len(words)) as pool:
        heard = pool.map(lambda port: _hear(target, port), words)
        return {port for (port, word), answer in zip(words.items(), heard, strict=True) if answer == word}


def _resolve(address: str, *, dialled_from: str, allow_private: bool) -> str | None:
    try:
        found = [str(numbers[0]) for *_, numbers in socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        return None
    if not all(may_connect(one, dialled_from=dialled_from, allow_private=allow_private) for one in found):
        return None
    return found[0] if found else None


def _hear(address: str, port: int) -> str | None:
    try:
        with socket.create_connection((address, port), CONNECT_SECONDS) as connection:
            connection.settimeout(READ_SECONDS)
            return connection.recv(_MOST_BYTES).decode("ascii", "replace").strip()
    except OSError:
        return None
