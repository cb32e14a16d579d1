"""Sends signed events to clients' servers, and to nothing but servers on the open internet.

Whoever sets a webhook chooses the host and what its name leads to, at any moment. So the name is resolved here, once,
every address it has is judged, and the connection goes to the very address that was judged; certificates are still
checked against the name. Redirects are not followed, proxies of the environment are not used.
"""

import functools
import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Event, Timer
from time import monotonic
from typing import Any
from urllib.parse import SplitResult, urlsplit

import certifi
from standardwebhooks import Webhook as Signer

from hosting.domain.addresses import is_public

CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0
WHOLE_SECONDS = 8.0
"""The most that connecting, sending and waiting for the answer take together, however slowly it drips in."""
BODY_READ_BYTES = 4096
BODY_READ_SECONDS = 0.5
ADDRESSES_TRIED = 2
DEFAULT_PORTS = {"http": 80, "https": 443}
USER_AGENT = "Spotyard-Webhooks/1"


@dataclass(frozen=True)
class Parcel:
    """One attempt to tell: ``body`` is JSON, ``secrets`` (whsec_…) sign it, ``sent_at`` is part of the signature."""

    url: str
    message_id: str
    body: str
    secrets: tuple[str, ...]
    sent_at: datetime


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: the HTTP status where there was an answer, a sentence where it failed."""

    status: int | None
    error: str

    @property
    def delivered(self) -> bool:
        return not self.error


@dataclass(frozen=True)
class Address:
    """Where a socket connects to: numbers only, so nothing is resolved a second time."""

    family: socket.AddressFamily
    numbers: tuple[Any, ...]

    @property
    def ip(self) -> IPv4Address | IPv6Address:
        return ip_address(self.numbers[0])

    def connect(self) -> socket.socket:
        """A connection within CONNECT_SECONDS. Raises OSError."""
        connection = socket.socket(self.family, socket.SOCK_STREAM)
        try:
            connection.settimeout(CONNECT_SECONDS)
            connection.connect(self.numbers)
        except BaseException:
            connection.close()
            raise
        return connection


class RefusedError(Exception):
    """The host leads to where nothing is sent."""


def send(parcel: Parcel, *, allow_private: bool) -> Outcome:
    """Post the parcel once; every failure of network or receiver is an outcome, not an exception."""
    try:
        status = _post(urlsplit(parcel.url), parcel, allow_private=allow_private)
    except (RefusedError, OSError, http.client.HTTPException, ValueError) as error:
        return Outcome(None, _explained(error))
    if 200 <= status < 300:
        return Outcome(status, "")
    if 300 <= status < 400:
        return Outcome(status, f"Answered {status}; redirects are not followed.")
    return Outcome(status, f"Answered {status}.")


def signed_headers(parcel: Parcel) -> dict[str, str]:
    """The headers of the Standard Webhooks specification, one signature for each secret."""
    signatures = [Signer(secret).sign(parcel.message_id, parcel.sent_at, parcel.body) for secret in parcel.secrets]
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": parcel.message_id,
        "webhook-timestamp": str(int(parcel.sent_at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def resolve(host: str, port: int, *, allow_private: bool) -> list[Address]:
    """The addresses that the host has now. Raises RefusedError when any of them is not public, OSError if unknown."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [Address(family, numbers) for family, _, _, _, numbers in found]
    if not allow_private and not all(is_public(address.ip) for address in addresses):
        raise RefusedError
    return addresses


def _post(url: SplitResult, parcel: Parcel, *, allow_private: bool) -> int:
    host, port = url.hostname or "", url.port or DEFAULT_PORTS[url.scheme]
    addresses = resolve(host, port, allow_private=allow_private)
    begun = monotonic()
    raw = _connect(addresses[:ADDRESSES_TRIED])
    with _cut_off(raw, begun + WHOLE_SECONDS - monotonic()), _wrapped(raw, url.scheme, host) as stream:
        stream.settimeout(READ_SECONDS)
        connection = http.client.HTTPConnection(host, port)
        connection.default_port = DEFAULT_PORTS[url.scheme]  # what the Host header leaves out
        connection.sock = stream
        target = url.path + (f"?{url.query}" if url.query else "")
        connection.request("POST", target or "/", parcel.body.encode(), signed_headers(parcel))
        return _status(connection, stream)


def _connect(addresses: list[Address]) -> socket.socket:
    failure: OSError | None = None
    for address in addresses:
        try:
            return address.connect()
        except OSError as error:
            failure = error
    raise failure or OSError("the name has no address")


def _status(connection: http.client.HTTPConnection, stream: socket.socket) -> int:
    with connection.getresponse() as answer:
        # A little of the body is taken, so that the receiver can end its answer in peace; its end does not matter.
        stream.settimeout(BODY_READ_SECONDS)
        with suppress(OSError, http.client.HTTPException, ValueError):
            answer.read1(BODY_READ_BYTES)
        return answer.status


@contextmanager
def _cut_off(raw: socket.socket, seconds: float) -> Iterator[None]:
    """End the connection after that time, whatever waits for it then. Raises TimeoutError if it came to that: what
    was read up to the cut may look like a whole answer."""
    guard = raw.dup()  # stays valid when TLS takes the other over
    is_cut = Event()

    def cut() -> None:
        is_cut.set()
        with suppress(OSError):
            guard.shutdown(socket.SHUT_RDWR)

    timer = Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        guard.close()
        if is_cut.is_set():
            raise TimeoutError


@contextmanager
def _wrapped(raw: socket.socket, scheme: str, host: str) -> Iterator[socket.socket]:
    with raw:
        if scheme == "http":
            yield raw
            return
        with _tls().wrap_socket(raw, server_hostname=host) as stream:
            yield stream


@functools.cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _explained(error: Exception) -> str:
    if isinstance(error, RefusedError):
        return "The host's name leads to an address that is not public."
    if isinstance(error, socket.gaierror):
        return "The host's name could not be resolved."
    if isinstance(error, TimeoutError):
        return "No answer in time."
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The certificate is not valid: {error.verify_message}."
    if isinstance(error, ssl.SSLError):
        return "No TLS connection could be made."
    if isinstance(error, ConnectionRefusedError):
        return "The connection was refused."
    if isinstance(error, OSError | http.client.RemoteDisconnected | http.client.IncompleteRead):
        return "The connection was lost."
    return "The answer is not HTTP."
