"""Looks every few seconds at all machines of the process, and tells the server, a machine at a time."""

import logging
import threading
import uuid
from collections.abc import Callable

from agent.logs import say
from agent.pool import Pool
from agent.server import RefusedError, ServerAwayError
from agent.telemetry.backlog import Backlog
from agent.telemetry.looking import Looker, monotonic
from agent.telemetry_protocol import Live, TelemetryReply, TelemetryRequest

_log = logging.getLogger(__name__)

LOOK_SECONDS = 15.0
_LONGEST_PAUSE_SECONDS = 60.0
_NEVER_TAKEN = (400, 413, 422)
"""The server can't read this request, and will not be able to."""

Send = Callable[[TelemetryRequest], TelemetryReply]


class MachineTelemetry:
    """One machine's: ``look`` on the measuring thread, ``tell`` on any one other."""

    def __init__(self, looker: Looker, send: Send, clock: Callable[[], float] = monotonic) -> None:
        self._looker = looker
        self._send = send
        self._clock = clock
        self._backlog = Backlog()
        self._session_id = uuid.uuid4().hex
        self._latest: Live | None = None
        self._failures = 0
        self._not_before = 0.0
        self._telling = threading.Lock()

    def look(self) -> None:
        """Measure."""
        now = self._clock()
        live = self._looker.look(now)
        self._backlog.add(live, now)
        self._latest = live

    def tell(self) -> None:
        """Send what is new; again later where no answer comes, as from a server that knows no measurements."""
        if self._clock() < self._not_before or not self._telling.acquire(blocking=False):
            return
        try:
            self._tell()
        finally:
            self._telling.release()

    def _tell(self) -> None:
        now = self._clock()
        windows = self._backlog.due(now)
        request = TelemetryRequest(session_id=self._session_id, live=self._latest, windows=windows)
        try:
            reply = self._send(request)
        except (ServerAwayError, RefusedError) as error:
            if isinstance(error, RefusedError) and error.status in _NEVER_TAKEN and windows:
                self._backlog.received(windows[-1].number)
            self._failures += 1
            pause_seconds = min(LOOK_SECONDS * 2**self._failures, _LONGEST_PAUSE_SECONDS)
            self._not_before = now + pause_seconds
            if self._failures == 1:
                say(_log, "measurements_not_taken", level=logging.WARNING, why=error)
            return
        self._failures = 0
        self._backlog.received(reply.received)


class TelemetryRounds:
    """One thread for all machines of the process."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._watched: list[MachineTelemetry] = []
        self._stopping = threading.Event()

    def watch(self, machine: MachineTelemetry) -> None:
        self._watched.append(machine)

    def unwatch(self, machine: MachineTelemetry) -> None:
        self._watched = [entry for entry in self._watched if entry is not machine]

    def start(self) -> None:
        threading.Thread(target=self._run, name="telemetry", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def round(self) -> None:
        """Look at every machine and have it told."""
        for machine in list(self._watched):
            try:
                machine.look()
            except Exception:
                _log.exception("telemetry_failed")
                continue
            self._pool.submit(machine.tell)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.round()
            self._stopping.wait(LOOK_SECONDS)
