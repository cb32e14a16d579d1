"""A socket before the engine's own that can be cut, as when the engine dies."""

import contextlib
import os
import socket
import threading
from pathlib import Path

from docker.utils import parse_host

_CHUNK = 1 << 16


class EngineRelay:
    """``address`` goes into DOCKER_HOST. ``cut`` refuses new connections and breaks those that are open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._real = str(parse_host(os.environ.get("DOCKER_HOST"))).split("://", 1)[1]
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None

    @property
    def address(self) -> str:
        return f"unix://{self._path}"

    def __enter__(self) -> "EngineRelay":
        self.restore()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def restore(self) -> None:
        """Let connections through."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        listener.listen(64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """No engine any more."""
        self._path.unlink(missing_ok=True)
        if self._listener is not None:
            _end(self._listener)
        for one in list(self._open):
            _end(one)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect("/" + self._real.lstrip("/"))
                self._open |= {client, server}
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                target.sendall(data)
        _end(source)
        _end(target)
        self._open -= {source, target}


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
