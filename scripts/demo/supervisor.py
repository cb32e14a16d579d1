"""Keeps the demo's processes running: one that ends is started again, with a growing pause; all end together.

honcho's manager ends everything as soon as one process ends, so it can't be used for this.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from scripts.services.processes import ManagedProcess

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STEADY_AFTER_SECONDS = 60.0


@dataclass
class Service:
    """A process that should always run. ``prepare`` runs before every start (it may rewrite the command)."""

    process: ManagedProcess
    prepare: Callable[[], None] = lambda: None
    grace_seconds: float = 8.0
    stop_signal: signal.Signals = signal.SIGTERM
    started_at: float = 0.0
    pause_seconds: float = FIRST_PAUSE_SECONDS
    retry_at: float | None = None

    def start(self, now: float) -> None:
        """Start it, or start it again."""
        self.prepare()
        self.process.start()
        self.started_at = now
        self.retry_at = None


class Supervisor:
    """Starts services in the order they are added and stops them in the opposite one.

    ``register`` is the file that lists the running processes, for cleaning up after a supervisor that was killed.
    ``say`` takes one line for the log; ``clock`` tells seconds.
    """

    def __init__(self, register: Path, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._services: list[Service] = []
        self._register = register
        self._say = say
        self._clock = clock

    def add(self, service: Service) -> None:
        """Start ``service`` and keep it running from now on."""
        self._services.append(service)
        service.start(self._clock())
        self._write_register()

    def tend(self) -> None:
        """Look once at every service; start again what ended and has waited long enough."""
        now = self._clock()
        for service in self._services:
            if not service.process.is_running():
                self._revive(service, now)

    def stop(self) -> None:
        """End everything, last started first. Those started later may need those started earlier."""
        for service in reversed(self._services):
            service.process.stop(grace_seconds=service.grace_seconds, number=service.stop_signal)
        self._services.clear()
        self._register.unlink(missing_ok=True)

    def _revive(self, service: Service, now: float) -> None:
        if service.retry_at is None:
            if now - service.started_at > STEADY_AFTER_SECONDS:
                service.pause_seconds = FIRST_PAUSE_SECONDS
            service.retry_at = now + service.pause_seconds
            self._say(
                f"{service.process.name} ended with code {service.process.exit_code}; starting it again in "
                f"{service.pause_seconds:.1f} s; see {service.process.log}"
            )
            service.pause_seconds = min(service.pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        elif now >= service.retry_at:
            service.process.kill()
            service.start(now)
            self._write_register()

    def _write_register(self) -> None:
        running = [service.process.pid for service in self._services if service.process.is_running()]
        rows = {}
        for pid in running:
            with contextlib.suppress(psutil.NoSuchProcess):
                rows[str(pid)] = psutil.Process(pid).create_time()
        self._register.write_text(json.dumps(rows))


def end_left_overs(register: Path, *, grace_seconds: float = 6.0) -> int:
    """End what an earlier, killed supervisor left; how many processes. Pids that came round again are spared.

    The kernel has told them to end already (see ManagedProcess), so most are on their way; the rest is forced.
    """
    try:
        rows: dict[str, float] = json.loads(register.read_text())
    except (OSError, ValueError):
        return 0
    left = [process for pid, born in rows.items() if (process := _same_process(int(pid), born)) is not None]
    _, alive = psutil.wait_procs(left, timeout=grace_seconds)
    for process in alive:
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    register.unlink(missing_ok=True)
    return len(left)


def _same_process(pid: int, born: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return process if abs(process.create_time() - born) < 1 else None
    except psutil.NoSuchProcess:
        return None
