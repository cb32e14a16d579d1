"""The address that benchmarks measure a machine's line against."""

import asyncio
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.test import AsyncClient
from pytest_django.fixtures import Settings

from hosting.domain.benchmarks import MOST_SPEED_BYTES
from hosting.selectors import speed_url

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def path(settings: Settings) -> str:
    """What a benchmark is given at NOW, as a path of the site."""
    settings.AGENT_URL, settings.DLPERF_ENDPOINT = "https://agents.example", ""
    with time_machine.travel(NOW, tick=False):
        url = urlsplit(speed_url(7))
    assert f"{url.scheme}://{url.netloc}" == "https://agents.example"
    return url.path


@dataclass(frozen=True)
class Answer:
    """What came back, the whole of it."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


def send(request: Coroutine[Any, Any, Any], at: datetime = NOW) -> Answer:
    """The answer that an event loop gets at that instant."""

    async def answered() -> Answer:
        answer = await request
        parts = [part async for part in answer.streaming_content] if answer.streaming else [answer.content]
        return Answer(answer.status_code, answer.headers, b"".join(parts))

    with time_machine.travel(at, tick=False):
        return asyncio.run(answered())


def get(path: str, size: str, at: datetime = NOW) -> Answer:
    return send(AsyncClient().get(path, {"bytes": size}), at)


@pytest.mark.parametrize("size", [0, 1, 65_536, 200_001])
def test_it_sends_as_many_bytes_as_asked_for(path: str, size: int) -> None:
    answer = get(path, str(size))
    assert (answer.status_code, answer.headers["Content-Length"], len(answer.content)) == (200, str(size), size)


def test_it_takes_any_body(path: str) -> None:
    answer = send(AsyncClient().post(path, bytes(3_000_000), content_type="application/octet-stream"))
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("size", ["", "-1", "1e3", "٣", "9" * 16, str(MOST_SPEED_BYTES + 1)])
def test_no_size_that_is_none(path: str, size: str) -> None:
    answer = get(path, size)
    assert (answer.status_code, json.loads(answer.content)["error"]) == (400, "bad_size")


def test_nothing_without_a_ticket_and_nothing_later(path: str) -> None:
    forged = get(path[:-1] + ("A" if path[-1] != "A" else "B"), "1")
    late = get(path, "1", NOW + timedelta(hours=3))
    for answer in (forged, late):
        assert (answer.status_code, json.loads(answer.content)["error"]) == (403, "no_ticket")


def test_an_operator_may_name_another_address(settings: Settings) -> None:
    settings.DLPERF_ENDPOINT = "https://speed.example/"
    assert speed_url(7) == "https://speed.example/"
