"""Kills work at each of its points, one after the other, and takes it up again."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests
from django.db import connections

from tests.simulation.kills import KilledError, Watch, watching

Arm = Callable[[Watch, int], None]

NEVER = 10**9


def at_statements(watch: Watch, count: int) -> None:
    """Die instead of executing the statement after ``count`` others."""
    watch.statements_left = count


def at_commits(watch: Watch, count: int) -> None:
    """Die right after the commit that follows ``count`` others."""
    watch.commits_left = count


def after_calls(monkeypatch: pytest.MonkeyPatch) -> Arm:
    """Die when a provider has answered, with what it said unread, after ``count`` calls that were read."""
    left = NEVER
    send = requests.Session.send

    def watched(*args: Any, **kwargs: Any) -> requests.Response:
        nonlocal left
        answer = send(*args, **kwargs)
        left -= 1
        if left < 0:
            left = NEVER
            raise KilledError
        return answer

    def arm(_watch: Watch, count: int) -> None:
        nonlocal left
        left = count

    monkeypatch.setattr(requests.Session, "send", watched)
    return arm


def killed_at_every_point(arm: Arm, work: Callable[[], object]) -> Iterator[int]:
    """Runs ``work`` and kills it at its first point, then at its second and so on; yields after each death, for the
    caller to take the work up again and to look. Ends when the work has come through."""
    count = 0
    with watching() as watch:
        while _dies(watch, arm, count, work):
            yield count
            count += 1


def _dies(watch: Watch, arm: Arm, count: int, work: Callable[[], object]) -> bool:
    arm(watch, count)
    died = True
    with suppress(KilledError):
        work()
        died = False
    arm(watch, NEVER)
    watch.disarm()
    connections["default"].close()
    return died
