"""Tells the server what is and learns what should be, for ever.

One request is always held open, so the server's news arrive at once. News of the machine don't wait for it: they go in
a request of their own that is answered at once. Each request carries everything, so any of them may be lost.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from agent import __version__
from agent.backoff import Backoff
from agent.job_protocol import DesiredJob, JobReport
from agent.logs import say
from agent.pool import Pool
from agent.protocol import (
    ABILITY_JUPYTER,
    PROTOCOL_VERSION,
    DesiredTask,
    Inventory,
    ObservedTask,
    SyncReply,
    SyncRequest,
    ToolsBundle,
    UpdateFailure,
)
from agent.server import RefusedError, ServerAwayError, ServerClient
from agent.volume_protocol import ABILITY_VOLUMES, ObservedVolume

_log = logging.getLogger(__name__)

HOLD_SECONDS = 20.0
_GATHER_SECONDS = 0.15
"""A passing phase waits this long for the one that follows it."""
_PAUSE_SECONDS = 2.0
"""Between held requests that a server answers at once though it has nothing new."""
_MOST_REPORT_FAILURES = 5
_HOME_EVERY = 4
"""Of the failures in a row: the next try then goes to the address the host gave, in case the other is out of date."""
_FINAL_STATUSES = (401, 403, 410, 426)


class Machine(Protocol):
    """What the loop tells of, and whom it tells."""

    def observed(self) -> list[ObservedTask]: ...

    def apply(self, desired: Iterable[DesiredTask]) -> None: ...


class JobBoard(Protocol):
    """Like ``Machine``, of what is to be done once."""

    def reports(self) -> list[JobReport]: ...

    def apply(self, wanted: Iterable[DesiredJob]) -> None: ...


class NoJobs:
    """For an agent that does none."""

    def reports(self) -> list[JobReport]:
        return []

    def apply(self, wanted: Iterable[DesiredJob]) -> None:
        """Leaves them alone."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """What the machine is known by, and where: ``sync_url`` as the server last said, ``home_url`` as the host did."""

    boot_id: str
    credential: str
    sync_url: str
    home_url: str


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """``inventory`` and ``engine_error`` are asked before each request.

    ``on_sync_url`` gets the address the server wants from now on, and ``on_tools``, before the tasks are applied, the
    guest tools that containers are to have. ``on_refused`` is called, once, when the server does not know this machine
    any more: the loop has then ended. ``relay_key``, ``volumes`` and ``update_failure`` (what to tell of this agent's
    replacement) are asked before each request too, and ``on_reply`` gets each reply that counts, for what is in it
    besides, before the tasks are acted on. ``on_away`` is told why a request was not answered.
    """

    inventory: Callable[[], Inventory | None]
    engine_error: Callable[[], str | None]
    on_sync_url: Callable[[str], None]
    on_refused: Callable[[RefusedError], None]
    on_tools: Callable[[ToolsBundle | None], None] = lambda _bundle: None
    jobs: JobBoard = field(default_factory=NoJobs)
    relay_key: Callable[[], str | None] = lambda: None
    on_reply: Callable[[SyncReply], None] = lambda _: None
    on_away: Callable[[str], None] = lambda _: None
    update_failure: Callable[[], UpdateFailure | None] = lambda: None
    volumes: Callable[[], list[ObservedVolume] | None] = lambda: None


class Session:
    """One life of the agent as the server sees it: numbers its requests and judges the replies."""

    def __init__(self, account: Account, machine: Machine, around: Surroundings) -> None:
        self._account = account
        self._machine = machine
        self._around = around
        self._sync_url = account.sync_url
        self._session_id = uuid.uuid4().hex
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._seq = 0
        self._applied_at_seq = 0
        self._failures = 0
        self._inventory_told: Inventory | None = None
        self.generation = -1
        """Of the wishes last applied."""
        self.ended = threading.Event()
        """No more requests; their replies don't count any more."""

    def exchange(self, client: ServerClient, hold_seconds: float) -> bool:
        """One request and its reply; False when it has to be tried again later."""
        current = self._around.inventory()
        inventory = current if current != self._inventory_told else None
        request = self.request(hold_seconds, inventory)
        try:
            reply = client.sync(self._url(), self._account.credential, request)
        except ServerAwayError as error:
            self._failed(error)
            return False
        except RefusedError as error:
            self._refused(error)
            return False
        if self.ended.is_set():
            return False
        self._failures = 0
        self._inventory_told = inventory or self._inventory_told
        self.apply(request.seq, reply)
        return True

    def request(self, hold_seconds: float, inventory: Inventory | None) -> SyncRequest:
        """Numbered and filled under one lock, so that a higher number never carries older facts."""
        with self._lock:
            self._seq += 1
            return SyncRequest(
                protocol=PROTOCOL_VERSION,
                agent_version=__version__,
                boot_id=self._account.boot_id,
                session_id=self._session_id,
                session_started_age_seconds=time.monotonic() - self._began,
                seq=self._seq,
                known_generation=self.generation,
                hold_seconds=hold_seconds,
                tasks=self._machine.observed(),
                inventory=inventory,
                engine_error=self._around.engine_error(),
                jobs=self._around.jobs.reports(),
                abilities=[ABILITY_JUPYTER, ABILITY_VOLUMES],
                relay_key=self._around.relay_key(),
                update_failure=self._around.update_failure(),
                volumes=self._around.volumes(),
            )

    def apply(self, seq: int, reply: SyncReply) -> None:
        """Take the reply to request ``seq``, unless a newer one overtook it.

        Two requests may be under way at once, so replies can arrive in either order: the higher generation counts. A
        lower one counts only from a request sent after the last was applied: then the server itself has gone back.
        """
        with self._lock:
            if reply.generation < self.generation and seq <= self._applied_at_seq:
                return
            if reply.generation != self.generation:
                say(_log, "wishes", generation=reply.generation, tasks=len(reply.tasks))
            self.generation = reply.generation
            self._applied_at_seq = self._seq
            moved = reply.sync_url != self._sync_url
            self._sync_url = reply.sync_url
            self._around.on_tools(reply.tools)
            self._around.on_reply(reply)
            self._machine.apply(reply.tasks)
            if reply.jobs is not None:
                self._around.jobs.apply(reply.jobs)
        if moved:
            self._around.on_sync_url(reply.sync_url)

    def _url(self) -> str:
        at_home = self._failures % _HOME_EVERY == _HOME_EVERY - 1
        return self._account.home_url if at_home else self._sync_url

    def _failed(self, error: ServerAwayError) -> None:
        self._failures += 1
        if not self.ended.is_set():
            say(_log, "server_away", level=logging.WARNING, why=error)
            self._around.on_away(str(error))

    def _refused(self, error: RefusedError) -> None:
        say(_log, "sync_refused", level=logging.ERROR, error=error.error, msg=error.msg)
        if error.status not in _FINAL_STATUSES:
            return
        with self._lock:
            if self.ended.is_set():
                return
            self.ended.set()
        self._around.on_refused(error)


class SyncLoop:
    """``start`` it once; ``report`` whenever something changed."""

    def __init__(
        self,
        session: Session,
        *,
        client: Callable[[], ServerClient],
        pool: Pool,
        hold_seconds: float = HOLD_SECONDS,
        backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self._session = session
        self._held_client, self._report_client = client(), client()
        self._held_backoff, self._report_backoff = backoff(), backoff()
        self._pool = pool
        self._hold_seconds = hold_seconds
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._urgent = threading.Event()
        self._reporting = False
        self._started = False

    def start(self) -> None:
        """Go on in a daemon thread."""
        self._started = True
        threading.Thread(target=self._hold_for_ever, name="sync", daemon=True).start()

    def stop(self) -> None:
        """Send nothing more; the request being held is abandoned."""
        self._session.ended.set()
        self._urgent.set()

    def report(self, urgent: bool = True) -> None:
        """Something of the machine changed: tell the server, at once or together with what follows shortly.

        Before ``start`` nothing is told: the picture may not be complete yet, and the first request carries it all.
        """
        if not self._started:
            return
        self._changed.set()
        if urgent:
            self._urgent.set()
        with self._lock:
            if self._reporting or self._session.ended.is_set():
                return
            self._reporting = True
        self._pool.submit(self._report_changes)

    def _hold_for_ever(self) -> None:
        # At first at once: what the agent sees now may be news that frees or bills something.
        hold_seconds = 0.0
        while not self._session.ended.is_set():
            began, known = time.monotonic(), self._session.generation
            if not self._session.exchange(self._held_client, hold_seconds):
                self._session.ended.wait(self._held_backoff.next_seconds())
                continue
            self._held_backoff.reset()
            if self._session.generation == known and time.monotonic() - began < hold_seconds / 2:
                self._session.ended.wait(_PAUSE_SECONDS)
            hold_seconds = self._hold_seconds

    def _report_changes(self) -> None:
        """Until the server knows all; then the thread is free again.

        After some failures it is left to the held request, which tells everything too once the server is back.
        """
        failures = 0
        while True:
            self._urgent.wait(_GATHER_SECONDS)
            self._urgent.clear()
            self._changed.clear()
            if self._session.ended.is_set():
                return
            if self._session.exchange(self._report_client, 0.0):
                self._report_backoff.reset()
            else:
                failures += 1
                self._changed.set()
                self._session.ended.wait(self._report_backoff.next_seconds())
            with self._lock:
                if not self._changed.is_set() or failures >= _MOST_REPORT_FAILURES:
                    self._reporting = False
                    return
