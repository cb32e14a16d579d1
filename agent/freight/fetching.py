"""Fetches the parts of a parcel: goes on where it broke off, and takes nothing that is not what was announced."""

import http.client
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.freight.counter import fingerprint_of
from agent.freight.parcel import Part, part_file, sum_of

_SECONDS = 60.0
_CHUNK_BYTES = 1 << 18


class CutOffError(Exception):
    """The source can't be reached now, or the connection broke."""


class SpoiltError(Exception):
    """What came is not what was announced."""


class EndedError(Exception):
    """It is not wanted any more."""


@dataclass(frozen=True, kw_only=True)
class Counter:
    """Where a parcel is handed out, and how to know that it is the right place."""

    host: str
    port: int
    token: str
    fingerprint: str

    def fetch(
        self, folder: Path, number: int, part: Part, came: Callable[[int], None], ended: Callable[[], bool]
    ) -> None:
        """The whole part, checked. ``came`` is told how much of it is there.

        Raises ``CutOffError``, ``SpoiltError`` (what was there is deleted then), ``EndedError``.
        """
        path = part_file(folder, number)
        there = path.stat().st_size if path.exists() else 0
        if there < part.size_bytes:
            self._go_on(path, number, there, came, ended)
        if path.stat().st_size < part.size_bytes:
            raise CutOffError("the connection broke")
        if path.stat().st_size != part.size_bytes or sum_of(path) != part.sha256:
            path.unlink()
            raise SpoiltError

    def _go_on(
        self, path: Path, number: int, there: int, came: Callable[[int], None], ended: Callable[[], bool]
    ) -> None:
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=_SECONDS, context=_any_certificate())
        try:
            connection.connect()
            self._check(connection)
            headers = {"Authorization": f"Bearer {self.token}", "Range": f"bytes={there}-"}
            connection.request("GET", f"/{number}", headers=headers)
            response = connection.getresponse()
            if response.status not in (200, 206):
                raise CutOffError(f"it answers with status {response.status}")
            with path.open("ab" if response.status == 206 else "wb") as file:
                while chunk := response.read(_CHUNK_BYTES):
                    file.write(chunk)
                    came(file.tell())
                    if ended():
                        raise EndedError
        except (OSError, http.client.HTTPException) as error:
            raise CutOffError(type(error).__name__) from error
        finally:
            connection.close()

    def _check(self, connection: http.client.HTTPSConnection) -> None:
        """Before the token is told."""
        shown = connection.sock.getpeercert(binary_form=True) if isinstance(connection.sock, ssl.SSLSocket) else None
        if shown is None or fingerprint_of(shown) != self.fingerprint:
            raise CutOffError("another server answers there")


def _any_certificate() -> ssl.SSLContext:
    """It signs itself; what it has to be is compared afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
