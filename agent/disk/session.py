"""One command on the disk of a container that does not run, from the agent's side."""

import contextlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

import agent
from agent.disk.confine import Disk
from agent.disk.helper import NOT_MOUNTED, Order
from agent.engine.commands import HeadAndTail
from agent.engine.types import Command, CommandOutcome, DiskParts, Ending

_ROOT = Path(agent.__file__).resolve().parent.parent
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from agent.disk.helper import main; sys.exit(main())"
_BLOCK_BYTES = 1 << 16
_LOOK_SECONDS = 0.1
_EXIT_SECONDS = 5.0
"""From the end of its output to the end of a process."""
_FLOOD_BYTES = 64 << 20


class NotMountedError(Exception):
    """The host can't look into such disks; says why."""


class DiskSession:
    """``run`` it once; ``end`` it from another thread at any time."""

    def __init__(self, parts: DiskParts, mount_point: Path) -> None:
        mount_point.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._disk = Disk(
            lower=parts.lower,
            upper=parts.upper,
            work=parts.work,
            volumes=dict(parts.volumes),
            mount_point=str(mount_point.resolve()),
        )
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    def end(self) -> None:
        """Leave the disk now: when the process is gone, so is its mount."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()

    def run(self, command: Command) -> CommandOutcome:
        """Carry out the command. Raises ``NotMountedError``."""
        order = Order(disk=self._disk, command=command.text, cpu_seconds=max(1, int(command.seconds)))
        with self._lock:
            if self._ended:
                return CommandOutcome(exit_code=None, output=b"", ended_by="stop")
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-c", _PROGRAM, str(_ROOT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self._watch(self._process, msgspec.json.encode(order), command)

    def _watch(self, process: subprocess.Popen[bytes], order: bytes, command: Command) -> CommandOutcome:
        kept, reader = HeadAndTail(command.most_output_bytes), threading.Event()
        threading.Thread(target=_read, args=(process, kept, reader), name="disk-output", daemon=True).start()
        try:
            _tell(process, order)
            ended_by = self._await_end(kept, reader, command)
            if not ended_by:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_EXIT_SECONDS)
        finally:
            process.kill()
            code = process.wait()
            reader.wait()
        if code == NOT_MOUNTED:
            raise NotMountedError(kept.content().decode(errors="replace"))
        if self._ended:
            ended_by = "stop"
        return CommandOutcome(
            exit_code=None if ended_by or code < 0 else code,
            output=kept.content(),
            dropped_bytes=kept.dropped_bytes,
            ended_by=ended_by or ("time" if code < 0 else ""),
        )

    def _await_end(self, kept: HeadAndTail, reader: threading.Event, command: Command) -> Ending:
        deadline = time.monotonic() + command.seconds
        while not reader.wait(_LOOK_SECONDS):
            if time.monotonic() > deadline:
                return "time"
            if command.stop():
                return "stop"
            if kept.total > _FLOOD_BYTES:
                return "flood"
        return ""


def _tell(process: subprocess.Popen[bytes], order: bytes) -> None:
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.write(order)
            process.stdin.close()


def _read(process: subprocess.Popen[bytes], kept: HeadAndTail, ended: threading.Event) -> None:
    if process.stdout is not None:
        while content := process.stdout.read1(_BLOCK_BYTES):  # type: ignore[attr-defined]  # a BufferedReader
            kept.add(content)
    ended.set()
