"""One child process of ours: in a session of its own, logged to a file, ended with the group it formed."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.services.launching import launch_prefix


@dataclass
class ManagedProcess:
    """A program run in the foreground under our eyes.

    It gets SIGTERM from the kernel when the thread that started it ends, however that comes about, so it
    never outlives us. ``environment`` is the whole environment; output is appended to ``log``.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    directory: Path | None = None
    popen: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it; the caller sees to it that it does not run already."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(
                [*launch_prefix(die_with_parent="TERM"), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(self.environment),
                cwd=self.directory,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id; RuntimeError before it was started."""
        if self.popen is None:
            raise RuntimeError(f"{self.name} was never started")
        return self.popen.pid

    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.popen is not None and self.popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended: its exit code, negative for a signal; None while it runs or before it was started."""
        return None if self.popen is None else self.popen.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it started; an ended one is no error."""
        if self.popen is None:
            return
        try:
            os.killpg(self.popen.pid, number)
        except ProcessLookupError:
            return

    def ask(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask the program itself to end, which ends its own workers in its own order; without waiting for it."""
        if self.popen is not None and self.is_running():
            self.popen.send_signal(number)

    def stop(self, *, grace_seconds: float = 10, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and make it after ``grace_seconds``; its exit code (negative for a signal)."""
        if self.popen is None:
            return 0
        self.ask(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(timeout=grace_seconds)
        self.kill()
        return int(self.popen.returncode)

    def kill(self) -> None:
        """End it and everything in its group at once, as kill -9 does."""
        if self.popen is None:
            return
        self.send(signal.SIGKILL)
        self.popen.wait()
