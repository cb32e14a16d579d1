"""Carries to the server what does not belong into a sync. Everything may be sent again."""

from collections.abc import Callable
from pathlib import Path

from agent.job_protocol import JOB_OUTPUT_PATH, MOST_OUTPUT_CHUNK_BYTES
from agent.protocol import KEPT_LOG_PATH, SYNC_PATH, OutputReply
from agent.server import ServerAwayError, ServerClient
from agent.telemetry_protocol import TelemetryReply, TelemetryRequest


class Courier:
    """``sync_url`` is asked each time, because the server may move; clients are made as threads need them."""

    def __init__(self, client: Callable[[], ServerClient], sync_url: Callable[[], str], credential: str) -> None:
        self._client = client
        self._sync_url = sync_url
        self._credential = credential

    def send(self, job_id: int, start: int, content: bytes) -> OutputReply:
        """Bytes of a job's output from ``start`` on. Raises ``ServerAwayError``, ``RefusedError``."""
        path = JOB_OUTPUT_PATH.format(job_id=job_id)
        return self._post(f"{path}?offset={start}", content)

    def send_file(self, job_id: int, file: Path) -> None:
        """All of a job's output. Raises ``ServerAwayError``, ``RefusedError``."""
        start = 0
        with file.open("rb") as source:
            while content := source.read(MOST_OUTPUT_CHUNK_BYTES):
                received = self.send(job_id, start, content).received_bytes
                if received <= start:
                    raise ServerAwayError("it does not take the output")
                start = received
                source.seek(start)

    def send_log(self, task_id: int, container_id: str, content: bytes) -> None:
        """The log of a container that is gone, compressed. Raises ``ServerAwayError``, ``RefusedError``."""
        path = KEPT_LOG_PATH.format(task_id=task_id)
        self._post(f"{path}?container={container_id}", content)

    def tell(self, request: TelemetryRequest) -> TelemetryReply:
        """Measurements. Raises ``ServerAwayError``, ``RefusedError``."""
        client = self._client()
        try:
            return client.tell(self._base, self._credential, request)
        finally:
            client.close()

    def _post(self, path: str, content: bytes) -> OutputReply:
        client = self._client()
        try:
            return client.send_bytes(self._base + path, self._credential, content)
        finally:
            client.close()

    @property
    def _base(self) -> str:
        return self._sync_url().partition(SYNC_PATH)[0]
