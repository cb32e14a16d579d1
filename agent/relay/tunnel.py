"""Keeps one machine's connection to the relay as the marketplace wants it."""

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from agent.backoff import Backoff
from agent.logs import say
from agent.protocol import RelayForward, RelayOrder
from agent.relay.plan import changes
from agent.relay.ssh import RelaySsh, SshFailedError, is_running
from agent.tasks.memory import write_durably

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_LOGIN_SECONDS = 30.0
_LOGIN_LOOK_SECONDS = 0.1
_KEPT_SECONDS = 600.0


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Written down before ssh is told: which ssh, where it is logged in, and all that it was asked for."""

    pid: int
    at: tuple[str, int, str, str]
    forwards: list[RelayForward]


class Tunnel:
    """``want`` at any time. A machine without forwards has neither connection nor thread, after a while: who rents next
    or starts anew does not wait for a login.

    ``early`` tells the ports of this machine behind which nothing can answer yet; ``look`` when that may have changed.
    """

    def __init__(
        self,
        home: Path,
        backoff: Callable[[], Backoff] = lambda: Backoff(most_seconds=15.0),
        early: Callable[[], Collection[int]] = tuple,
        kept_seconds: float = _KEPT_SECONDS,
    ) -> None:
        self._kept_seconds = kept_seconds
        self._unused_since: float | None = None
        self._ssh = RelaySsh(home)
        self._file = home / "told.json"
        self._login_backoff, self._forward_backoff = backoff(), backoff()
        self._early = early
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._order: RelayOrder | None = None
        self._thread: threading.Thread | None = None
        self._ended = False
        self._child: subprocess.Popen[bytes] | None = None
        self._told: Told | None = None
        self._up: set[RelayForward] = set()

    def want(self, order: RelayOrder | None) -> None:
        """What the marketplace wants now. None leaves things as they are: it has no relay for now."""
        with self._lock:
            if order is None or order == self._order or self._ended:
                return
            self._order = order
            self._news.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="relay", daemon=True)
                self._thread.start()

    def look(self) -> None:
        """What was too early may be due now."""
        self._news.set()

    def stop(self) -> None:
        """Look after it no more. The connection stays: clients' sessions go through it."""
        with self._lock:
            self._ended = True
        self._news.set()

    def _keep(self) -> None:
        while True:
            self._news.clear()
            with self._lock:
                order = self._order
                if self._ended or order is None:
                    self._thread = None
                    return
            try:
                wait = self._bring_about(order)
            except SshFailedError as error:
                say(_log, "relay_away", level=logging.WARNING, why=error)
                wait = self._login_backoff.next_seconds()
            except Exception:
                _log.exception("relay_failed")
                wait = self._login_backoff.next_seconds()
            if wait is None and self._rest(order):
                return
            self._news.wait(wait)

    def _rest(self, order: RelayOrder) -> bool:
        """End the thread, unless something is wanted by now."""
        with self._lock:
            if self._order != order:
                return False
            self._thread = None
            return True

    def _bring_about(self, order: RelayOrder) -> float | None:
        """One look; the seconds until the next, None for never. Raises SshFailedError."""
        if not self._is_of_use(order):
            self._ssh.exit(order)
            self._reap()
            self._told, self._up = None, set()
            return None
        if not self._is_connected(order):
            self._connect(order)
        return self._adjust(order)

    def _is_of_use(self, order: RelayOrder) -> bool:
        if order.forwards:
            self._unused_since = None
            return True
        now = time.monotonic()
        if self._unused_since is None:
            self._unused_since = now
        return self._is_connected(order) and now - self._unused_since < self._kept_seconds

    def _is_connected(self, order: RelayOrder) -> bool:
        return self._told is not None and self._told.at == _at(order) and is_running(self._told.pid)

    def _connect(self, order: RelayOrder) -> None:
        """Adopt the connection of an earlier agent, or log in anew. Raises SshFailedError."""
        self._up = set()
        pid, known = self._ssh.running_pid(order), self._read()
        if pid is not None and known is not None and (known.pid, known.at) == (pid, _at(order)):
            self._told = known
            say(_log, "relay_adopted", host=order.host, forwards=len(known.forwards))
            return
        self._ssh.exit(order)
        self._reap()
        self._told = None
        self._child = self._ssh.start(order)
        self._write(Told(pid=self._await_login(order, self._child), at=_at(order), forwards=[]))
        self._login_backoff.reset()
        say(_log, "relay_connected", host=order.host, port=order.port)

    def _await_login(self, order: RelayOrder, child: "subprocess.Popen[bytes]") -> int:
        for _ in range(int(_LOGIN_SECONDS / _LOGIN_LOOK_SECONDS)):
            pid = self._ssh.running_pid(order)
            if pid is not None:
                return pid
            if child.poll() is not None:
                raise SshFailedError(self._ssh.last_words() or "the connection was closed")
            if self._ended:
                break
            threading.Event().wait(_LOGIN_LOOK_SECONDS)
        child.kill()
        child.wait()
        raise SshFailedError("no login in time")

    def _adjust(self, order: RelayOrder) -> float:
        """Forwards that are missing or not wanted any more; the seconds until the next look."""
        told = self._told
        if told is None:
            return 0.0
        wanted = changes(told=told.forwards, up=self._up, wanted=order.forwards, early=self._early())
        for forward in wanted.cancel:
            self._cancel(order, forward)
        refused = [forward for forward in wanted.add if not self._add(order, forward)]
        if refused:
            return self._forward_backoff.next_seconds()
        self._forward_backoff.reset()
        return _LOOK_SECONDS

    def _add(self, order: RelayOrder, forward: RelayForward) -> bool:
        told = self._told
        if told is None:
            return False
        if forward not in told.forwards:
            self._write(msgspec.structs.replace(told, forwards=[*told.forwards, forward]))
        try:
            self._ssh.forward(order, forward)
        except SshFailedError as error:
            say(_log, "relay_port_refused", level=logging.WARNING, port=forward.relay_port, why=error)
            return False
        self._up.add(forward)
        say(_log, "relay_port_opened", port=forward.relay_port, to=forward.host_port)
        return True

    def _cancel(self, order: RelayOrder, forward: RelayForward) -> None:
        """What the relay never gave, ssh knows nothing of: that is no failure."""
        try:
            self._ssh.cancel(order, forward)
        except SshFailedError as error:
            say(_log, "relay_port_not_cancelled", level=logging.DEBUG, port=forward.relay_port, why=error)
        self._up.discard(forward)
        if self._told is not None:
            left = [one for one in self._told.forwards if one != forward]
            self._write(msgspec.structs.replace(self._told, forwards=left))
        say(_log, "relay_port_closed", port=forward.relay_port)

    def _reap(self) -> None:
        """Take note of the end of a child, so that none is left behind as a zombie."""
        if self._child is not None:
            try:
                self._child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            self._child = None

    def _read(self) -> Told | None:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Told)
        except (OSError, msgspec.DecodeError):
            return None

    def _write(self, told: Told) -> None:
        write_durably(self._file, msgspec.json.encode(told))
        self._told = told


def _at(order: RelayOrder) -> tuple[str, int, str, str]:
    return order.host, order.port, order.user, order.host_key
