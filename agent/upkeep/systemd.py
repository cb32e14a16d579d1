"""Speaks with systemd, where it started the agent: it is ready, and it lives."""

import os
import socket
import threading
from collections.abc import Callable

_READS_PER_PERIOD = 4


def notify(message: str) -> None:
    """Tell systemd, if it wants to be told."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaking:
            speaking.connect("\0" + address[1:] if address.startswith("@") else address)
            speaking.sendall(message.encode())
    except OSError:
        return  # the watchdog of a systemd that does not listen ends nobody


def watchdog_seconds() -> float | None:
    """How often systemd wants to hear of this process at least; None where it does not watch it."""
    told, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not told.isdecimal() or (pid and pid != str(os.getpid())):
        return None
    return int(told) / 1e6


class Watchdog:
    """Says that the agent lives for as long as ``age_seconds`` (since it last did its work) is less than the period."""

    def __init__(self, age_seconds: Callable[[], float], period_seconds: float | None) -> None:
        self._age_seconds = age_seconds
        self._period_seconds = period_seconds
        self._ending = threading.Event()

    def start(self) -> None:
        """Go on in a daemon thread."""
        if self._period_seconds is not None:
            threading.Thread(target=self._run, args=(self._period_seconds,), name="watchdog", daemon=True).start()

    def stop(self) -> None:
        self._ending.set()

    def _run(self, period_seconds: float) -> None:
        while True:
            if self._age_seconds() < period_seconds:
                notify("WATCHDOG=1")
            if self._ending.wait(period_seconds / _READS_PER_PERIOD):
                return
