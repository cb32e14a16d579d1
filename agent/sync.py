"""Tells the server what is and learns what should be, for ever.

One request is always held open, so the server's news arrive at once. News of the machine don't wait for it: they go in
a request of their own that is answered at once. Each request carries everything, so any of them may be lost.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Protocol

from agent import __version__
from agent.backoff import Backoff
from agent.logs import say
from agent.pool import Pool
from agent.protocol import (
    PROTOCOL_VERSION,
    DesiredTask,
    Inventory,
    ObservedTask,
    SyncReply,
    SyncRequest,
)
from agent.server import RefusedError, ServerAwayError, ServerClient

_log = logging.getLogger(__name__)

HOLD_SECONDS = 20.0
_GATHER_SECONDS = 0.15
"""A passing phase waits this long for the one that follows it."""
_FINAL_STATUSES = (401, 403, 410, 426)


class Machine(Protocol):
    """What the loop tells of, and whom it tells."""

    def observed(self) -> list[ObservedTask]: ...

    def apply(self, desired: Iterable[DesiredTask]) -> None: ...


class SyncLoop:
    """``inventory`` is asked before each request; ``on_sync_url`` gets the address the server wants from now on.

    ``on_refused`` is called, once, when the server does not know this machine any more: the loop has then ended.
    """

    def __init__(
        self,
        *,
        client: Callable[[], ServerClient],
        pool: Pool,
        machine: Machine,
        boot_id: str,
        credential: str,
        sync_url: str,
        inventory: Callable[[], Inventory | None],
        engine_error: Callable[[], str | None],
        on_sync_url: Callable[[str], None],
        on_refused: Callable[[RefusedError], None],
        hold_seconds: float = HOLD_SECONDS,
        backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self._held_client, self._report_client = client(), client()
        self._pool = pool
        self._machine = machine
        self._boot_id = boot_id
        self._credential = credential
        self._sync_url = sync_url
        self._inventory = inventory
        self._engine_error = engine_error
        self._on_sync_url = on_sync_url
        self._on_refused = on_refused
        self._hold_seconds = hold_seconds
        self._held_backoff, self._report_backoff = backoff(), backoff()
        self._session_id = uuid.uuid4().hex
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._seq = 0
        self._generation = -1
        self._applied_at_seq = 0
        self._inventory_told: Inventory | None = None
        self._changed = threading.Event()
        self._urgent = threading.Event()
        self._reporting = False
        self._ending = threading.Event()

    def start(self) -> None:
        """Go on in a daemon thread."""
        threading.Thread(target=self._hold_for_ever, name="sync", daemon=True).start()

    def stop(self) -> None:
        """Send nothing more; the request being held is abandoned."""
        self._ending.set()
        self._urgent.set()

    def report(self, urgent: bool = True) -> None:
        """Something of the machine changed: tell the server, at once or together with what follows shortly."""
        self._changed.set()
        if urgent:
            self._urgent.set()
        with self._lock:
            if self._reporting or self._ending.is_set():
                return
            self._reporting = True
        self._pool.submit(self._report_changes)

    def _hold_for_ever(self) -> None:
        hold_seconds = 0.0
        while not self._ending.is_set():
            # At first at once: what the agent sees now may be news that frees or bills something.
            if self._exchange(self._held_client, hold_seconds):
                self._held_backoff.reset()
                hold_seconds = self._hold_seconds
            else:
                self._ending.wait(self._held_backoff.next_seconds())

    def _report_changes(self) -> None:
        """Until the server knows all; then the thread is free again."""
        while True:
            self._urgent.wait(_GATHER_SECONDS)
            self._urgent.clear()
            self._changed.clear()
            if self._ending.is_set():
                return
            if self._exchange(self._report_client, 0.0):
                self._report_backoff.reset()
            else:
                self._changed.set()
                self._ending.wait(self._report_backoff.next_seconds())
            with self._lock:
                if not self._changed.is_set():
                    self._reporting = False
                    return

    def _exchange(self, client: ServerClient, hold_seconds: float) -> bool:
        """One request and its reply; False when it has to be tried again later."""
        inventory = self._inventory_to_tell()
        request = self._request(hold_seconds, inventory)
        try:
            reply = client.sync(self._sync_url, self._credential, request)
        except ServerAwayError as error:
            if not self._ending.is_set():
                say(_log, "server_away", level=logging.WARNING, why=error)
            return False
        except RefusedError as error:
            self._refused(error)
            return False
        if self._ending.is_set():
            return False
        if inventory is not None:
            self._inventory_told = inventory
        self._apply(request.seq, reply)
        return True

    def _inventory_to_tell(self) -> Inventory | None:
        current = self._inventory()
        return current if current != self._inventory_told else None

    def _request(self, hold_seconds: float, inventory: Inventory | None) -> SyncRequest:
        """Numbered and filled under one lock, so that a higher number never carries older facts."""
        with self._lock:
            self._seq += 1
            return SyncRequest(
                protocol=PROTOCOL_VERSION,
                agent_version=__version__,
                boot_id=self._boot_id,
                session_id=self._session_id,
                session_started_age_seconds=time.monotonic() - self._began,
                seq=self._seq,
                known_generation=self._generation,
                hold_seconds=hold_seconds,
                tasks=self._machine.observed(),
                inventory=inventory,
                engine_error=self._engine_error(),
            )

    def _apply(self, seq: int, reply: SyncReply) -> None:
        """Take a reply, unless a newer one overtook it.

        Two requests may be under way at once, so replies can arrive in either order: the higher generation counts. A
        lower one counts only from a request sent after the last was applied: then the server itself has gone back.
        """
        with self._lock:
            if reply.generation < self._generation and seq <= self._applied_at_seq:
                return
            if reply.generation != self._generation:
                say(_log, "wishes", generation=reply.generation, tasks=len(reply.tasks))
            self._generation = reply.generation
            self._applied_at_seq = self._seq
            moved = reply.sync_url != self._sync_url
            self._sync_url = reply.sync_url
            self._machine.apply(reply.tasks)
        if moved:
            self._on_sync_url(reply.sync_url)

    def _refused(self, error: RefusedError) -> None:
        say(_log, "sync_refused", level=logging.ERROR, error=error.error, msg=error.msg)
        if error.status not in _FINAL_STATUSES:
            return
        with self._lock:
            if self._ending.is_set():
                return
            self._ending.set()
        self._on_refused(error)
