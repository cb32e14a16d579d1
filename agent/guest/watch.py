"""Reads what containers in ssh mode tell of themselves, soon after it changes."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.engine.types import ContainerFacts, ContainerGoneError, Engine, EngineDownError, TaskError
from agent.guest.report import DIRECTORY, MOST_BYTES, GuestReport, parse
from agent.tasks.reconciler import Reconciler
from agent.tasks.slot import Slot

_log = logging.getLogger(__name__)

_ROUND_SECONDS = 0.5
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0
_GROWTH = 1.3
_EFFORT = 20.0
"""Each look costs the engine some milliseconds: the next one waits this many times as long as the last one took."""


@dataclass
class _Run:
    """One run of one container: what was read of it last, and when the next look is due, in monotonic seconds."""

    started_at: str
    due: float = 0.0
    pause_seconds: float = _FIRST_PAUSE_SECONDS


class GuestWatch:
    """Looks at all tasks of all agents in the process, from one thread.

    All but the end of the on-start script is there before the SSH server answers, so once the script has ended, a run
    is left alone. A script that goes on is asked for every few seconds.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._watched: list[tuple[Reconciler, Callable[[], None]]] = []
        self._runs: dict[str, _Run] = {}
        self._stopping = threading.Event()

    def watch(self, reconciler: Reconciler, on_news: Callable[[], None]) -> None:
        """``on_news`` is called when a task of the reconciler's has something new to tell."""
        self._watched.append((reconciler, on_news))

    def unwatch(self, reconciler: Reconciler) -> None:
        self._watched = [entry for entry in self._watched if entry[0] is not reconciler]

    def start(self) -> None:
        threading.Thread(target=self._run, name="guest-reports", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(_ROUND_SECONDS):
            try:
                self.look()
            except EngineDownError:
                continue
            except Exception:
                _log.exception("guest_reports_failed")

    def look(self) -> None:
        """One round over all that runs and is ready."""
        seen: set[str] = set()
        for reconciler, on_news in list(self._watched):
            news = [self._look_at(slot, seen) for slot in reconciler.slots()]
            if any(news):
                on_news()
        self._runs = {key: run for key, run in self._runs.items() if key in seen}

    def _look_at(self, slot: Slot, seen: set[str]) -> bool:
        """Whether there is news of the task."""
        container, desired, observed = slot.facts, slot.desired, slot.observation
        if container is None or desired is None or observed is None or desired.spec.mode != "ssh":
            return False
        if container.status != "running" or observed.phase != "running":
            return False
        seen.add(container.container_id)
        run = self._runs.get(container.container_id)
        if run is None or run.started_at != container.started_at:
            run = self._runs[container.container_id] = _Run(container.started_at)
            slot.guest = None
        if self._clock() < run.due or (slot.guest is not None and not slot.guest.onstart_runs):
            return False
        return self._read(slot, container, run)

    def _read(self, slot: Slot, container: ContainerFacts, run: _Run) -> bool:
        began = self._clock()
        try:
            report = parse(self._engine.read_files(container.container_id, DIRECTORY, MOST_BYTES))
        except (ContainerGoneError, TaskError):
            report = GuestReport()
        ended = self._clock()
        run.due = ended + max(run.pause_seconds, _EFFORT * (ended - began))
        run.pause_seconds = min(run.pause_seconds * _GROWTH, _LONGEST_PAUSE_SECONDS)
        news, slot.guest = report != (slot.guest or GuestReport()), report
        return news
