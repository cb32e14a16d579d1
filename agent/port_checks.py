"""Answers on ports that the marketplace looks at, to see whether the world can reach this machine."""

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections.abc import Collection

from agent.logs import say
from agent.protocol import PortCheck

_log = logging.getLogger(__name__)

LONGEST_SECONDS = 120.0
"""Then a port is closed whatever the marketplace says, or does not say any more."""
_LOOK_SECONDS = 0.5
_MOST = 16


class PortChecks:
    """``want`` at any time; what is named no more is closed. One thread, while there is something to answer on."""

    def __init__(self, address: str = "") -> None:
        self._address = address
        self._lock = threading.Lock()
        self._wanted: frozenset[PortCheck] = frozenset()
        self._until = 0.0
        self._thread: threading.Thread | None = None

    def want(self, checks: Collection[PortCheck]) -> None:
        """Answer with these words on these ports from now on."""
        wanted = frozenset(list(checks)[:_MOST])
        with self._lock:
            if wanted == self._wanted:
                return
            self._wanted = wanted
            self._until = time.monotonic() + LONGEST_SECONDS
            if wanted and self._thread is None:
                self._thread = threading.Thread(target=self._answer, name="port-checks", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Close all."""
        self.want(())

    def _answer(self) -> None:
        listening: dict[PortCheck, socket.socket] = {}
        with selectors.DefaultSelector() as selector:
            while True:
                with self._lock:
                    wanted = self._wanted if time.monotonic() < self._until else frozenset()
                    if not wanted:
                        self._thread = None
                        break
                self._adjust(listening, wanted, selector)
                for key, _ in selector.select(_LOOK_SECONDS):
                    _say_word(key)
            self._adjust(listening, frozenset(), selector)

    def _adjust(
        self,
        listening: dict[PortCheck, socket.socket],
        wanted: frozenset[PortCheck],
        selector: selectors.BaseSelector,
    ) -> None:
        for check in listening.keys() - wanted:
            selector.unregister(listening[check])
            listening.pop(check).close()
        for check in wanted - listening.keys():
            found = self._listen(check.port)
            if found is not None:
                selector.register(found, selectors.EVENT_READ, check.word)
                listening[check] = found

    def _listen(self, port: int) -> socket.socket | None:
        listener = socket.socket()
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._address, port))
            listener.listen(8)
            listener.setblocking(False)
        except (OSError, OverflowError) as error:
            listener.close()
            say(_log, "port_not_opened", level=logging.DEBUG, port=port, why=error)
            return None
        return listener


def _say_word(key: selectors.SelectorKey) -> None:
    listener = key.fileobj
    if not isinstance(listener, socket.socket):
        return
    with contextlib.suppress(OSError):
        client, _ = listener.accept()
        with client:
            client.settimeout(1.0)
            client.sendall(f"{key.data}\n".encode())
