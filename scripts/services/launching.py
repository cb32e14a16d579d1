"""How every process of the demo and the tests is started: tied to its parent, without needless privileges."""

import os
import pwd
import random
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

UNPRIVILEGED_ACCOUNT = "nobody"
POLL_INTERVAL_SECONDS = 0.02
SERVER_PORTS = range(10_000, 20_000)
"""Below those that the kernel gives to outgoing connections: one that it names for a server by itself may be some
connection's by the time the server listens."""


class ServiceError(Exception):
    """A server cannot be prepared or does not come up; the message says what to do about it."""


def launch_prefix(*, die_with_parent: str | None = None, reach: Sequence[Path] | None = None) -> list[str]:
    """The ``setpriv`` command line to put before a program.

    ``die_with_parent`` names the signal the kernel sends the program when the thread that started it ends, so
    that a supervisor killed with -9 leaves no orphans. ``reach`` makes root step down to an unprivileged
    account (PostgreSQL refuses to run as root) that can still reach the given paths; other users keep their
    own account.
    """
    options = [] if die_with_parent is None else ["--pdeathsig", die_with_parent]
    if reach is not None and os.geteuid() == 0:
        options += _step_down(reach)
    return ["setpriv", *options, "--"] if options else []


def _step_down(reach: Sequence[Path]) -> list[str]:
    uid, gid = unprivileged_ids()
    options = ["--reuid", str(uid), "--regid", str(gid), "--clear-groups"]
    if all(_reachable(path, options) for path in reach):
        return options
    # A checkout under /root is closed to everyone else. Rather than open the folder or copy the binaries, let
    # the program keep the one capability to search and read past it; it still owns nothing but its data.
    # (Without the securebit, access(2), which PostgreSQL asks about its own binaries, would disregard it.)
    capability = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    return ["--securebits", "+no_setuid_fixup", *options, *capability]


def _reachable(path: Path, options: list[str]) -> bool:
    return subprocess.run(["setpriv", *options, "--", "test", "-r", str(path)], check=False).returncode == 0


def unprivileged_ids() -> tuple[int, int]:
    """uid and gid that servers run under when we are root; our own otherwise."""
    if os.geteuid() != 0:
        return os.getuid(), os.getgid()
    entry = pwd.getpwnam(UNPRIVILEGED_ACCOUNT)
    return entry.pw_uid, entry.pw_gid


def hand_over(path: Path) -> None:
    """Give one file or folder to the account that servers run under."""
    os.chown(path, *unprivileged_ids())


def port_is_free(port: int, address: str = "127.0.0.1") -> bool:
    """Whether a server could listen on ``port`` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None, address: str = "127.0.0.1") -> int:
    """``preferred`` where it is free on ``address``, otherwise any of ``SERVER_PORTS``. Raises ServiceError."""
    candidates = random.sample(SERVER_PORTS, len(SERVER_PORTS))
    for port in candidates if preferred is None else [preferred, *candidates]:
        if port_is_free(port, address):
            return port
    raise ServiceError(f"No port from {SERVER_PORTS[0]} to {SERVER_PORTS[-1]} is free on {address}.")


def wait_until(ready: Callable[[], bool], *, timeout_seconds: float, failure: Callable[[], str]) -> None:
    """Poll ``ready`` until it holds; ServiceError with ``failure()`` after the time-out."""
    deadline = time.monotonic() + timeout_seconds
    while not ready():
        if time.monotonic() > deadline:
            raise ServiceError(failure())
        time.sleep(POLL_INTERVAL_SECONDS)


def tail(path: Path, lines: int = 15) -> str:
    """The end of a log, for messages."""
    if not path.exists():
        return "(no log)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
