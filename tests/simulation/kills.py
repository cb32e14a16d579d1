"""Kills a worker at any statement, or right after a commit: what it had not committed is lost, and so is its voice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection

_WRITES = ("INSERT", "UPDATE", "DELETE", "WITH")


class KilledError(BaseException):
    """Not an Exception, so that no service mistakes it for a failure it could go on after."""


@dataclass
class Watch:
    """Sees every statement of the connection. ``statements_left`` and ``commits_left`` count down to the kill."""

    wrote: bool = False
    statements: int = 0
    statements_left: int | None = None
    commits_left: int | None = None

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        """An execute wrapper of Django's."""
        self.statements += 1
        if self.statements_left is not None:
            self.statements_left -= 1
            if self.statements_left < 0:
                self.statements_left = None
                raise KilledError
        self.wrote = self.wrote or not isinstance(sql, str) or sql.lstrip().startswith(_WRITES)
        return execute(sql, params, many, context)

    def committed(self) -> None:
        """Called after each commit."""
        if self.commits_left is not None:
            self.commits_left -= 1
            if self.commits_left < 0:
                self.commits_left = None
                raise KilledError

    def disarm(self) -> None:
        """Nobody is to be killed any more; what a dead worker would have done after its commit is forgotten."""
        self.statements_left = self.commits_left = None
        connection.run_on_commit = []


@contextmanager
def watching() -> Iterator[Watch]:
    """See, and be able to kill, everything that goes over Django's connection."""
    watch = Watch()
    database: Any = connection
    commit = database._commit

    def watched_commit() -> None:
        commit()
        watch.committed()

    database._commit = watched_commit
    try:
        with connection.execute_wrapper(watch):
            yield watch
    finally:
        database._commit = commit
