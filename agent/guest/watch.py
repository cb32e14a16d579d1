"""Reads what containers in ssh mode tell of themselves, soon after it changes."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.engine.types import ContainerFacts, ContainerGoneError, Engine, TaskError
from agent.guest.report import DIRECTORY, MOST_BYTES, GuestReport, parse
from agent.guest.rounds import Rounds
from agent.protocol import DesiredTask
from agent.tasks.slot import Slot

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


class GuestWatch(Rounds):
    """Reads the files of each run until nothing more will come.

    All but the end of the on-start script is there before the SSH server answers, so once the script has ended, a run
    is left alone. A script that goes on is asked for every few seconds.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(engine, name="guest-reports", pause_seconds=_ROUND_SECONDS)
        self._clock = clock
        self._runs: dict[str, _Run] = {}

    def forget_others(self, container_ids: set[str]) -> None:
        self._runs = {key: run for key, run in self._runs.items() if key in container_ids}

    def look_at(self, slot: Slot, container: ContainerFacts, desired: DesiredTask) -> bool:  # noqa: ARG002 - the rounds' signature
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
