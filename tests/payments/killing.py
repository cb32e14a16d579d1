"""Kills the process that takes payments: before and after every call of the provider, and after every commit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import stripe
from django.db import connection

_WRITES = ("INSERT", "UPDATE", "DELETE", "WITH")


class KilledError(BaseException):
    """Not an Exception, so that nothing mistakes it for a failure that it could go on after."""


class Killer:
    """Counts the points passed, and kills at the one that ``fatal`` names; 0 kills nobody."""

    def __init__(self) -> None:
        self.passed = 0
        self.fatal = 0

    def arm(self, fatal: int) -> None:
        """Count anew."""
        self.passed, self.fatal = 0, fatal

    def pass_point(self) -> None:
        self.passed += 1
        if self.passed == self.fatal:
            raise KilledError

    def after_statement(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        """An execute wrapper of Django's: a write outside any transaction is committed when it returns."""
        result = execute(sql, params, many, context)
        if not connection.in_atomic_block and str(sql).lstrip().startswith(_WRITES):
            self.pass_point()
        return result


@contextmanager
def killing() -> Iterator[Killer]:
    """See all points of this thread's connection and of the Stripe SDK."""
    killer = Killer()
    database: Any = connection
    commit, request = database._commit, stripe.RequestsClient.request

    def watched_commit() -> None:
        commit()
        killer.pass_point()

    def watched_request(*args: Any, **kwargs: Any) -> Any:
        killer.pass_point()
        answer = request(*args, **kwargs)
        killer.pass_point()
        return answer

    database._commit = watched_commit
    stripe.RequestsClient.request = watched_request  # type: ignore[method-assign]  # put back below
    try:
        with connection.execute_wrapper(killer.after_statement):
            yield killer
    finally:
        database._commit = commit
        stripe.RequestsClient.request = request  # type: ignore[method-assign]  # as it was
