"""Programs in a running container that are spoken with over their standard input and output."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast

from docker.api.client import APIClient

from agent.engine.frames import STANDARD_OUTPUT, frames

_LOOK_SECONDS = 0.1


class DockerAttached:
    """Implements ``agent.engine.types.Attached``."""

    def __init__(
        self, client: APIClient, container_id: str, command: list[str], environment: Mapping[str, str]
    ) -> None:
        self._client = client
        made = client.exec_create(
            container_id, command, user="0:0", stdin=True, stdout=True, stderr=True, environment=dict(environment)
        )
        self._exec_id = str(made["Id"])
        self._stream = cast("Any", client.exec_start(self._exec_id, socket=True))
        self._socket = getattr(self._stream, "_sock", self._stream)
        # Nothing may come for as long as the program likes; who waits has a limit of its own.
        self._socket.settimeout(None)

    def send(self, content: bytes) -> None:
        self._socket.sendall(content)

    def end_input(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(1)

    def output(self) -> Iterator[tuple[bool, bytes]]:
        for stream, content in frames(self._stream):
            yield stream == STANDARD_OUTPUT, content

    def exit_code(self, wait_seconds: float) -> int | None:
        deadline = time.monotonic() + wait_seconds
        while (code := self._client.exec_inspect(self._exec_id)["ExitCode"]) is None:
            if time.monotonic() > deadline:
                return None
            time.sleep(_LOOK_SECONDS)
        return int(code)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(2)
        with contextlib.suppress(OSError):
            self._stream.close()
