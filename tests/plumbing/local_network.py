"""A machine beside this one, in its local network and at a cloud's metadata address, with doors at 80 and 53."""

import subprocess
import threading
from socketserver import BaseRequestHandler, ThreadingTCPServer
from types import TracebackType
from typing import Self

from tests.plumbing.claims import claim
from tests.plumbing.namespaces import entered

_METADATA = "169.254.169.253"
_PORTS = (80, 53)


class LocalNetwork:
    """Use as a context; needs root. Whoever connects to one of ``addresses`` is told ``GREETING``."""

    GREETING = "the neighbour says hello"

    def __init__(self) -> None:
        number = next(number for number in range(200, 250) if claim(f"local-network-{number}"))
        self._net = f"10.{number}.9"
        self._namespace = f"sy-neighbour-{number}"
        self._line = f"syn{number}"
        self.addresses = (f"{self._net}.2", _METADATA)
        self._servers: list[ThreadingTCPServer] = []

    def __enter__(self) -> Self:
        self._remove()
        try:
            self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._remove()

    def _make(self) -> None:
        _run("ip", "netns", "add", self._namespace)
        peer = f"{self._line}p"
        _run("ip", "link", "add", self._line, "type", "veth", "peer", "name", peer)
        _run("ip", "link", "set", peer, "netns", self._namespace)
        _run("ip", "address", "add", f"{self._net}.1/24", "dev", self._line)
        _run("ip", "link", "set", self._line, "up")
        _run("ip", "route", "replace", f"{_METADATA}/32", "dev", self._line)
        with entered(self._namespace):
            for address in (f"{self._net}.2/24", f"{_METADATA}/32"):
                _run("ip", "address", "add", address, "dev", peer)
            for link in (peer, "lo"):
                _run("ip", "link", "set", link, "up")
            _run("ip", "route", "add", "default", "via", f"{self._net}.1")
            self._servers = [_server(port, self.GREETING) for port in _PORTS]

    def _remove(self) -> None:
        subprocess.run(["ip", "netns", "delete", self._namespace], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", self._line], check=False, capture_output=True)


def _server(port: int, greeting: str) -> ThreadingTCPServer:
    class Greet(BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(greeting.encode() + b"\n")

    server = ThreadingTCPServer(("0.0.0.0", port), Greet)  # noqa: S104 - nobody but guests of this machine can come
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
