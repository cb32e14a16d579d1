"""The marketplace's side of the wire, as seen from the agent."""

from collections.abc import Iterator
from typing import TypeVar

import msgspec
import requests

from agent.protocol import AgentRelease, ErrorReply, Message, OutputReply, SyncReply, SyncRequest, decode, encode
from agent.register_protocol import CHECK_PATH, REGISTER_PATH, CheckReply, CheckRequest, RegisterReply, RegisterRequest
from agent.telemetry_protocol import TELEMETRY_PATH, TelemetryReply, TelemetryRequest

_CONNECT_SECONDS = 10.0
_REPLY_SECONDS = 30.0
_CHUNK_BYTES = 1 << 16
_TRY_LATER = (408, 425, 429)

R = TypeVar("R", RegisterReply, SyncReply, CheckReply, OutputReply, TelemetryReply)


class ServerAwayError(Exception):
    """No usable answer now; trying again later makes sense."""


class RefusedError(Exception):
    """The server understood and said no."""

    def __init__(self, status: int, error: str, msg: str, release: AgentRelease | None = None) -> None:
        super().__init__(msg)
        self.release = release
        """The agent to run instead, where this one is too old."""
        self.status = status
        self.error = error
        self.msg = msg


class ServerClient:
    """Keeps one connection open; to be used by one thread at a time."""

    def __init__(self, ca_file: str | None = None) -> None:
        self._session = requests.Session()
        if ca_file:
            self._session.verify = ca_file

    def register(self, server: str, request: RegisterRequest) -> RegisterReply:
        """Raises ``ServerAwayError``, ``RefusedError``."""
        return self._post(server.rstrip("/") + REGISTER_PATH, request, RegisterReply, {}, _REPLY_SECONDS)

    def check(self, server: str, request: CheckRequest) -> CheckReply:
        """Raises ``ServerAwayError``, ``RefusedError``."""
        return self._post(server.rstrip("/") + CHECK_PATH, request, CheckReply, {}, _REPLY_SECONDS)

    def sync(self, url: str, credential: str, request: SyncRequest) -> SyncReply:
        """Raises ``ServerAwayError``, ``RefusedError``."""
        headers = {"Authorization": f"Bearer {credential}"}
        return self._post(url, request, SyncReply, headers, request.hold_seconds + _REPLY_SECONDS)

    def fetch(self, url: str, credential: str, offset: int) -> Iterator[bytes]:
        """The content at a URL from this byte on, as it comes. Without a credential, all of what is for anybody.

        Raises ``ServerAwayError``, ``RefusedError``.
        """
        own = {"Authorization": f"Bearer {credential}", "Range": f"bytes={offset}-"}
        headers = own if credential else {}
        timeouts = (_CONNECT_SECONDS, _REPLY_SECONDS)
        try:
            with self._session.get(
                url, headers=headers, timeout=timeouts, stream=True, allow_redirects=False
            ) as response:
                if response.status_code not in (200, 206) or (offset > 0 and response.status_code == 200):
                    raise _problem(response)
                yield from response.iter_content(_CHUNK_BYTES)
        except requests.RequestException as error:
            raise ServerAwayError(_reason(error)) from error

    def tell(self, base: str, credential: str, request: TelemetryRequest) -> TelemetryReply:
        """Measurements. Raises ``ServerAwayError``, ``RefusedError``."""
        headers = {"Authorization": f"Bearer {credential}"}
        return self._post(base + TELEMETRY_PATH, request, TelemetryReply, headers, _REPLY_SECONDS)

    def send_bytes(self, url: str, credential: str, content: bytes) -> OutputReply:
        """Raises ``ServerAwayError``, ``RefusedError``."""
        headers = {"Authorization": f"Bearer {credential}", "Content-Type": "application/octet-stream"}
        return self._post_bytes(url, content, OutputReply, headers, _REPLY_SECONDS)

    def close(self) -> None:
        self._session.close()

    def _post(self, url: str, message: Message, kind: type[R], headers: dict[str, str], seconds: float) -> R:
        return self._post_bytes(url, encode(message), kind, headers, seconds)

    def _post_bytes(self, url: str, body: bytes, kind: type[R], headers: dict[str, str], seconds: float) -> R:
        try:
            response = self._send(url, body, headers, seconds)
        except requests.RequestException as error:
            raise ServerAwayError(_reason(error)) from error
        if response.status_code != 200:
            raise _problem(response)
        try:
            return decode(kind, response.content)
        except msgspec.DecodeError as error:
            raise ServerAwayError(f"the reply makes no sense: {error}") from error

    def _send(self, url: str, body: bytes, headers: dict[str, str], seconds: float) -> requests.Response:
        """A kept connection may have been closed by the server meanwhile, hence a second try on a new one; all our
        requests may arrive twice."""
        for last_try in (False, True):
            try:
                return self._session.post(
                    url,
                    data=body,
                    headers={"Content-Type": "application/json", **headers},
                    timeout=(_CONNECT_SECONDS, seconds),
                    allow_redirects=False,
                )
            except requests.Timeout:
                raise
            except requests.ConnectionError:
                if last_try:
                    raise
        raise AssertionError("the second try returns or raises")


def _problem(response: requests.Response) -> Exception:
    """A refusal in the protocol's form is one; anything else is taken for a fault on the way."""
    try:
        reply = decode(ErrorReply, response.content)
    except msgspec.DecodeError:
        return ServerAwayError(f"HTTP status {response.status_code} from {response.url}")
    if response.status_code >= 500 or response.status_code in _TRY_LATER:
        return ServerAwayError(f"{reply.msg} ({reply.error})")
    return RefusedError(response.status_code, reply.error, reply.msg, reply.agent)


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not trusted"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error)
