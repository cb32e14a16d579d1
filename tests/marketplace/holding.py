"""Requests that are held, on the real event loop, thread pool, Redis and PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from django.core.handlers.asgi import ASGIHandler
from django.db.models import F

from agent.protocol import PROTOCOL_VERSION, SYNC_PATH, SyncRequest
from hosting.api.body_limit import body_limited
from hosting.api.lanes import in_pool
from hosting.domain.secrets import secret_hash
from hosting.gateways.wakeup import Listener, wake
from hosting.models import Machine
from tests.plumbing import market

T = TypeVar("T")
LONG_SECONDS = 25.0
"""Longer than any test waits: what comes before has not come because the time was over."""
PATIENCE_SECONDS = 20.0


@dataclass
class Known:
    """A machine and what it shows for itself."""

    machine_id: int
    credential: str

    def change(self) -> int:
        """Ask something else of it, and tell so; returns the new generation."""
        Machine.objects.filter(pk=self.machine_id).update(desired_generation=F("desired_generation") + 1)
        wake(self.machine_id)
        return self.generation()

    def generation(self) -> int:
        return Machine.objects.get(pk=self.machine_id).desired_generation


def known_machine() -> Known:
    """A new one."""
    machine = market.listed_machine().machine
    credential = f"sym_{machine.pk}"
    Machine.objects.filter(pk=machine.pk).update(credential_hash=secret_hash(credential))
    return Known(machine.pk, credential)


def report(generation: int, *, hold_seconds: float = LONG_SECONDS, seq: int = 1) -> bytes:
    """An agent's that knows this generation."""
    request = SyncRequest(
        protocol=PROTOCOL_VERSION,
        agent_version="test",
        boot_id="boot",
        session_id="session",
        session_started_age_seconds=0.0,
        seq=seq,
        known_generation=generation,
        hold_seconds=hold_seconds,
        tasks=[],
    )
    return msgspec.json.encode(request)


@dataclass
class Call:
    """One HTTP request as a server hands it to the application; ``hang_up`` is the client's going away."""

    path: str
    body: bytes
    credential: str = ""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    chunks: int = 0
    """Parts of the body that were taken."""
    status: int = 0
    answer: bytes = b""
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def hang_up(self) -> None:
        self.gone.set()

    async def run(self) -> "Call":
        await body_limited(ASGIHandler())(self._scope(), self._receive, self._send)
        return self

    def said(self) -> Any:
        return msgspec.json.decode(self.answer)

    def _scope(self) -> dict[str, Any]:
        stated = {b"content-length": str(len(self.body)).encode(), b"content-type": b"application/json"}
        headers = stated | {b"host": b"127.0.0.1", b"authorization": f"Bearer {self.credential}".encode()}
        return {
            "type": "http",
            "method": "POST",
            "path": self.path,
            "query_string": b"",
            "headers": list((headers | self.headers).items()),
            "client": ("198.51.100.7", 1),
            "server": ("127.0.0.1", 80),
        }

    async def _receive(self) -> Mapping[str, Any]:
        size = 64 * 1024
        start = self.chunks * size
        if start < len(self.body):
            self.chunks += 1
            more = start + size < len(self.body)
            return {"type": "http.request", "body": self.body[start : start + size], "more_body": more}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Mapping[str, Any]) -> None:
        self.status = message.get("status", self.status)
        self.answer += message.get("body", b"")


def sync(known: Known, generation: int, **values: Any) -> asyncio.Task[Call]:
    """A sync of this machine, under way."""
    return asyncio.create_task(Call(SYNC_PATH, report(generation, **values), known.credential).run())


class Waits:
    """``begun`` tells of each wait of a held request: it has read the state by then, and found nothing new."""

    def __init__(self) -> None:
        self._begun: asyncio.Queue[int] = asyncio.Queue()

    def listener(self) -> type[Listener]:
        begun = self._begun

        class Told(Listener):
            async def wait(self, seconds: float) -> None:
                begun.put_nowait(self._machine_id)
                await super().wait(seconds)

        return Told

    async def begun(self) -> int:
        return await patiently(self._begun.get())

    def none(self) -> bool:
        return self._begun.empty()


async def patiently(what: Awaitable[T]) -> T:
    """Fails where it would take for ever."""
    return await asyncio.wait_for(what, PATIENCE_SECONDS)


async def aside(work: Callable[[], T]) -> T:
    """Work of the test's own that asks the database."""
    return await in_pool(work)
