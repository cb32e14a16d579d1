"""The public ports: who listens, through which tunnel what comes is passed on, and how much may come."""

import asyncio
import ssl
from collections import Counter
from dataclasses import dataclass, field

import asyncssh
import structlog

from hosting.models import RelayLease
from hosting.relay.pipes import ClientSide

logger = structlog.get_logger(__name__)

MOST_PER_PORT = 256
MOST_PER_SOURCE = 1024
"""Connections from one address, to all ports together: a university may be behind one."""
MOST_ALTOGETHER = 8192
TLS_HANDSHAKE_SECONDS = 10.0
_BACKLOG = 256


@dataclass
class Counts:
    """Since the relay started, but for ``by_source``, which is now."""

    total: int = 0
    refused: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    by_source: Counter[str] = field(default_factory=Counter)

    @property
    def open(self) -> int:
        """Connections at this moment."""
        return self.by_source.total()


@dataclass(frozen=True)
class Route:
    """The tunnel that a port belongs to at present; ``listen_host`` is what its machine called the port's address."""

    machine_id: int
    connection: asyncssh.SSHServerConnection
    listen_host: str


class PublicPort:
    """One port that clients can connect to."""

    def __init__(self, number: int, route: Route, counts: Counts) -> None:
        self.number = number
        self.route: Route | None = route
        self.counts = counts
        self._server: asyncio.Server | None = None
        self._clients: set[ClientSide] = set()

    async def listen(self, bind: str, tls: ssl.SSLContext | None) -> None:
        """Raises OSError where the port can't be had."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: ClientSide(self),
            bind or None,
            self.number,
            ssl=tls,
            ssl_handshake_timeout=TLS_HANDSHAKE_SECONDS if tls else None,
            backlog=_BACKLOG,
            reuse_address=True,
        )

    def admit(self, client: ClientSide) -> bool:
        """Whether one more may come in; it is counted if so."""
        counts = self.counts
        full = len(self._clients) >= MOST_PER_PORT or counts.open >= MOST_ALTOGETHER
        if full or counts.by_source[client.source] >= MOST_PER_SOURCE:
            counts.refused += 1
            return False
        self._clients.add(client)
        counts.total += 1
        counts.by_source[client.source] += 1
        return True

    def forget(self, client: ClientSide) -> None:
        """The connection is gone; one that was never admitted does not matter."""
        if client not in self._clients:
            return
        self._clients.discard(client)
        self.counts.by_source[client.source] -= 1
        if self.counts.by_source[client.source] <= 0:
            del self.counts.by_source[client.source]

    def close(self, *, cut: bool) -> None:
        """Nobody else comes in; ``cut`` ends the connections that there are too."""
        self.route = None
        if self._server is not None:
            self._server.close()
        for client in list(self._clients) if cut else ():
            client.cut()


class PublicPorts:
    """All of them, by number."""

    def __init__(self, bind: str, tls: ssl.SSLContext | None) -> None:
        self.counts = Counts()
        self._bind = bind
        self._tls = tls
        self._open: dict[int, PublicPort] = {}

    async def open(self, number: int, kind: str, route: Route) -> None:
        """From now on what comes to the port goes to this tunnel. The newest wins: an older tunnel of the machine may
        be dead without anybody knowing. Raises OSError where the port can't be had."""
        port = self._open.get(number)
        if port is not None:
            port.route = route
            return
        port = self._open[number] = PublicPort(number, route, self.counts)
        try:
            await port.listen(self._bind, self._tls if kind == RelayLease.Kind.HTTPS else None)
        except BaseException:
            self._open.pop(number, None)
            raise
        if port.route is None:  # closed meanwhile
            port.close(cut=True)
        logger.info("relay_port_opened", port=number, kind=kind, machine_id=route.machine_id)

    def leave(self, number: int, connection: asyncssh.SSHServerConnection) -> None:
        """The tunnel serves the port no more; nothing where a newer one does by now."""
        port = self._open.get(number)
        if port is not None and port.route is not None and port.route.connection is connection:
            self.close(number, cut=False)

    def close(self, number: int, *, cut: bool) -> None:
        """Stop listening on the port."""
        port = self._open.pop(number, None)
        if port is not None:
            port.close(cut=cut)
            logger.info("relay_port_closed", port=number)

    def owners(self) -> dict[int, int]:
        """The machine that each open port belongs to."""
        return {number: port.route.machine_id for number, port in self._open.items() if port.route is not None}

    def close_all(self) -> None:
        for number in list(self._open):
            self.close(number, cut=True)
