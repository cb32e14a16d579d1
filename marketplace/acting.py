"""Behind whatever happens now: which request, from where, and whether staff act in somebody's place.

Set for the time of each request (marketplace.web.acting), so that the audit log can tell it wherever in a service an
entry is written. Outside of requests, as in workers, there is none.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """``behind`` looks up the id of the member of staff who sees the site as somebody else, when it is asked for."""

    address: str = ""
    request_id: str = ""
    behind: Callable[[], int | None] = lambda: None


NOWHERE = Origin()
origin: ContextVar[Origin] = ContextVar("origin", default=NOWHERE)
