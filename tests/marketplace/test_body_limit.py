"""What the process that holds requests reads of a body, and where it looks at it."""

import asyncio
import threading
from typing import Any

import pytest
from django.db import connections
from pytest_django.fixtures import Settings

from agent.job_protocol import MOST_OUTPUT_CHUNK_BYTES
from agent.protocol import SYNC_PATH, decode
from hosting.api import agent
from hosting.api.sizes import MOST_LOG_BYTES, MOST_MESSAGE_BYTES, MOST_OPEN_BYTES
from hosting.domain.benchmarks import MOST_SPEED_BYTES
from hosting.selectors import speed_url
from marketplace.held import MIDDLEWARE
from tests.marketplace.holding import Call

pytestmark = pytest.mark.django_db(transaction=True)
CHECK = "/api/agent/v1/check"


@pytest.fixture(autouse=True)
def _holds(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MIDDLEWARE, settings.SYNC_HOLD_MAX_SECONDS = MIDDLEWARE, 60.0
    monkeypatch.setitem(connections.databases["default"], "CONN_MAX_AGE", 0)


def answered(path: str, body: bytes, **headers: bytes) -> Call:
    return asyncio.run(Call(path, body, headers={name.encode(): value for name, value in headers.items()}).run())


LIMITS = [
    (SYNC_PATH, MOST_MESSAGE_BYTES, 401),
    ("/api/agent/v1/telemetry", MOST_MESSAGE_BYTES, 401),
    ("/api/agent/v1/jobs/1/output", MOST_OUTPUT_CHUNK_BYTES, 400),
    ("/api/agent/v1/tasks/1/log", MOST_LOG_BYTES, 401),
    ("/api/agent/v1/register", MOST_OPEN_BYTES, 400),
    ("/api/agent/v1/token", MOST_OPEN_BYTES, 400),
    (CHECK, MOST_OPEN_BYTES, 400),
    ("/accounts/login/", MOST_OPEN_BYTES, 404),
]


@pytest.mark.parametrize(("path", "most_bytes", "status"), LIMITS)
def test_what_is_too_long_is_refused_unread(path: str, most_bytes: int, status: int) -> None:
    assert answered(path, b" " * most_bytes).status == status, "as long as it may be"
    refused = answered(path, b" " * (most_bytes + 1))
    assert (refused.status, refused.said()["error"], refused.chunks) == (413, "too_large", 0)


def test_what_does_not_tell_its_length_is_counted() -> None:
    refused = asyncio.run(Unstated(SYNC_PATH, b" " * (50 * MOST_MESSAGE_BYTES)).run())
    assert (refused.status, refused.said()["error"]) == (413, "too_large")
    assert refused.chunks == MOST_MESSAGE_BYTES // (64 * 1024) + 1


class Unstated(Call):
    """Sent in chunks."""

    def _scope(self) -> dict[str, Any]:
        scope = super()._scope()
        return scope | {"headers": [(name, value) for name, value in scope["headers"] if name != b"content-length"]}


def test_what_measures_a_line_is_kept_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    monkeypatch.setattr("tempfile.SpooledTemporaryFile.write", lambda _file, content: kept.append(len(content)))
    path = speed_url(1).partition("127.0.0.1:8000")[2]
    done = answered(path, b"x" * MOST_SPEED_BYTES)
    assert (done.status, sum(kept)) == (200, 0)
    assert done.chunks * 64 * 1024 >= MOST_SPEED_BYTES, "all of it came"
    assert answered(path, b"x" * (MOST_SPEED_BYTES + 1)).status == 413


def test_strangers_messages_are_parsed_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def noted(kind: Any, body: bytes) -> Any:
        threads.append(threading.current_thread().name)
        return decode(kind, body)

    monkeypatch.setattr(agent, "decode", noted)
    for path in (CHECK, "/api/agent/v1/register", "/api/agent/v1/token"):
        assert answered(path, b"{}").status == 400
    assert [name.partition("_")[0] for name in threads] == ["sync"] * 3
