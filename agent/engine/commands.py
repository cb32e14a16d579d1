"""Short commands in a running container, each within limits of time and output."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, cast

from docker.api.client import APIClient

from agent.engine.frames import frames
from agent.engine.types import Command, CommandOutcome, Ending, TaskError

_LOOK_SECONDS = 0.25
_LAST_WORDS_SECONDS = 1.0
"""Programs that a command leaves behind may hold its output open; nobody waits for them."""
_FLOOD_BYTES = 64 << 20
_NO_PROGRAM = (126, 127)
_RUNTIME_SAYS = b"OCI runtime exec failed"


class HeadAndTail:
    """Keeps the beginning and the end of what is added, half of ``most_bytes`` each."""

    def __init__(self, most_bytes: int) -> None:
        self._half = most_bytes // 2
        self._head, self._tail = bytearray(), bytearray()
        self.total = 0

    def add(self, content: bytes) -> None:
        self.total += len(content)
        room = self._half - len(self._head)
        self._head += content[:room]
        self._tail += content[room:] if room > 0 else content
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]

    @property
    def dropped_bytes(self) -> int:
        return self.total - len(self._head) - min(len(self._tail), self._half)

    def content(self) -> bytes:
        """Both, with a line between them where something is missing."""
        end = bytes(self._tail[-self._half :])
        if not self.dropped_bytes:
            return bytes(self._head) + end
        return bytes(self._head) + f"\n[{self.dropped_bytes} bytes left out]\n".encode() + end


def run(client: APIClient, container_id: str, command: Command) -> CommandOutcome:
    """See ``Engine.run_command``."""
    script = f"exec 2>&1\n{command.text}"  # through one pipe, so that output and errors keep their order
    made = client.exec_create(container_id, ["sh", "-c", script], user="0:0", stdout=True, stderr=True)
    connection = cast("Any", client.exec_start(made["Id"], socket=True))
    reader = _Reader(connection, command.most_output_bytes)
    try:
        ended_by = _await_end(client, made["Id"], reader, command)
        if ended_by:
            _kill(client, container_id, made["Id"])
        reader.ended.wait(_LAST_WORDS_SECONDS)
    finally:
        reader.close()
    exit_code = client.exec_inspect(made["Id"])["ExitCode"]
    with reader.lock:
        output, dropped_bytes = reader.kept.content(), reader.kept.dropped_bytes
    _refuse_without_shell(exit_code, output)
    return CommandOutcome(
        exit_code=None if ended_by else exit_code,
        output=output,
        dropped_bytes=dropped_bytes,
        ended_by=ended_by,
    )


class _Reader:
    """Takes in the output on a thread of its own, so that a command that says nothing can be ended too."""

    def __init__(self, connection: Any, most_bytes: int) -> None:
        self.kept = HeadAndTail(most_bytes)
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self._connection = connection
        threading.Thread(target=self._read, name="command-output", daemon=True).start()

    def _read(self) -> None:
        for _, content in frames(self._connection):
            with self.lock:
                self.kept.add(content)
        self.ended.set()

    def close(self) -> None:
        """End the reading, whatever still could come."""
        with contextlib.suppress(OSError, AttributeError):
            self._connection._sock.shutdown(2)
        with contextlib.suppress(OSError):
            self._connection.close()


def _await_end(client: APIClient, exec_id: str, reader: _Reader, command: Command) -> Ending:
    deadline = time.monotonic() + command.seconds
    while not reader.ended.wait(_LOOK_SECONDS):
        if time.monotonic() > deadline:
            return "time"
        if command.stop():
            return "stop"
        with reader.lock:
            total = reader.kept.total
        if total > _FLOOD_BYTES:
            return "flood"
        if not client.exec_inspect(exec_id)["Running"]:
            break
    return ""


def _kill(client: APIClient, container_id: str, exec_id: str) -> None:
    """End the command and what it started in its process group, by the host's numbers for them.

    Only after a look whether the process is one of the container's: numbers are used again.
    """
    pid = int(client.exec_inspect(exec_id).get("Pid") or 0)
    state = cast("dict[str, Any]", client.inspect_container(container_id))["State"]
    if pid <= 0 or not _same_processes(pid, int(state.get("Pid") or 0)):
        return
    with contextlib.suppress(OSError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)


def _same_processes(pid: int, other: int) -> bool:
    """Whether both live in the same container: they see the same processes, which are not this agent's."""
    try:
        own, theirs, ours = (Path(f"/proc/{one}/ns/pid").readlink() for one in (pid, other, "self"))
    except OSError:
        return False
    return own == theirs != ours


def _refuse_without_shell(exit_code: int | None, output: bytes) -> None:
    if exit_code in _NO_PROGRAM and _RUNTIME_SAYS in output[:200]:
        message = "The image of this instance has no shell (sh), so no commands can be run in it from here."
        raise TaskError("no_shell", message)
