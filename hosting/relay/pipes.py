"""One client's connection: from a public port through a machine's tunnel, in both directions, without piling up.

Each side stops reading while the other can't write, so what waits here is bounded by the limits below.
"""

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import asyncssh

if TYPE_CHECKING:
    from hosting.relay.ports import PublicPort

OPEN_SECONDS = 15.0
"""How long a machine has to take a connection."""
WINDOW_BYTES = 2 * 1024 * 1024
"""What a machine may send ahead of a client that reads slowly. Bounds both memory and, by the round trip, speed."""
PACKET_BYTES = 256 * 1024
_BUFFER_BYTES = 512 * 1024
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 20), (socket.TCP_KEEPCNT, 6))

Channel = asyncssh.SSHTCPChannel[bytes]


class ClientSide(asyncio.Protocol):
    """The socket of a client."""

    def __init__(self, port: "PublicPort") -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._channel: Channel | None = None
        self._opening: asyncio.Task[None] | None = None
        self._early = bytearray()
        self._ended_early = False
        self.source = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a server of streams makes
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.source = str(peer[0]) if peer else ""
        if not self._port.admit(self):
            transport.abort()
            return
        _keep_alive(transport.get_extra_info("socket"))
        transport.pause_reading()
        transport.set_write_buffer_limits(high=_BUFFER_BYTES)
        self._opening = asyncio.create_task(self._open(peer[1] if peer else 0))

    async def _open(self, source_port: int) -> None:
        """Let the machine connect to the instance; the client waits meanwhile."""
        route, transport = self._port.route, self._transport
        if route is None or transport is None:
            self.cut()
            return
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                channel, _ = await route.connection.create_connection(
                    lambda: MachineSide(self),
                    route.listen_host,
                    self._port.number,
                    self.source,
                    source_port,
                    window=WINDOW_BYTES,
                    max_pktsize=PACKET_BYTES,
                )
        except (asyncssh.Error, OSError, TimeoutError):
            self.cut()
            return
        channel.set_write_buffer_limits(high=_BUFFER_BYTES)
        self._channel = channel
        if transport.is_closing():
            channel.abort()
            return
        self._catch_up(channel, transport)

    def _catch_up(self, channel: Channel, transport: asyncio.Transport) -> None:
        if self._early:
            channel.write(bytes(self._early))
            self._early.clear()
        if self._ended_early:
            channel.write_eof()
        with contextlib.suppress(RuntimeError):
            transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._port.counts.bytes_in += len(data)
        if self._channel is None:
            self._early += data  # at most one read: reading is paused
            return
        with contextlib.suppress(OSError):
            self._channel.write(data)

    def eof_received(self) -> bool:
        """Half of it may stay open, except under TLS, which knows no such thing."""
        if self._channel is None:
            self._ended_early = True
        else:
            with contextlib.suppress(OSError):
                self._channel.write_eof()
        return self._transport is not None and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        if self._channel is not None:
            self._channel.pause_reading()

    def resume_writing(self) -> None:
        if self._channel is not None:
            self._channel.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._port.forget(self)
        if self._channel is None:
            if self._opening is not None:
                self._opening.cancel()
        elif exc is None:
            self._channel.close()
        else:
            self._channel.abort()

    def take(self, data: bytes) -> None:
        """Pass on what the machine sent."""
        self._port.counts.bytes_out += len(data)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def take_end(self) -> None:
        """The machine has no more to send."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def hold(self) -> None:
        """The machine can't keep up."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def finish(self) -> None:
        """End after what is on its way to the client."""
        if self._transport is not None:
            self._transport.close()

    def cut(self) -> None:
        """End now."""
        if self._transport is not None:
            self._transport.abort()


class MachineSide(asyncssh.SSHTCPSession[bytes]):
    """The channel to the machine, whose agent connects it to the instance."""

    def __init__(self, client: ClientSide) -> None:
        self._client = client

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:  # noqa: ARG002 - forwards have one kind
        self._client.take(data)

    def eof_received(self) -> bool:
        self._client.take_end()
        return True

    def pause_writing(self) -> None:
        self._client.hold()

    def resume_writing(self) -> None:
        self._client.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._client.finish()
        else:
            self._client.cut()


def _keep_alive(endpoint: socket.socket | None) -> None:
    """Notice clients that vanished; sessions may be silent for days."""
    if endpoint is None:
        return
    with contextlib.suppress(OSError):
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option, value in _KEEPALIVE:
            endpoint.setsockopt(socket.IPPROTO_TCP, option, value)
