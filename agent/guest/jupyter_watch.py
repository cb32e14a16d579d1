"""Learns what has become of Jupyter in the containers that should have it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.engine.types import ContainerFacts, ContainerGoneError, Engine, TaskError
from agent.guest.jupyter import endpoint, jupyter_answers, parse
from agent.guest.report import DIRECTORY, MOST_BYTES
from agent.guest.rounds import Rounds
from agent.protocol import DesiredTask, JupyterReport
from agent.tasks.slot import Slot

_ROUND_SECONDS = 0.5
_PAUSE_SECONDS = 1.0
_READY_PAUSE_SECONDS = 10.0
_MOST_SILENCES = 3
"""In a row, before a Jupyter that has answered counts as gone: it may just have much to do."""
_READY = JupyterReport(state="ready")


@dataclass
class _Run:
    """One run of one container; ``due`` is when the next look is, in monotonic seconds."""

    started_at: str
    due: float = 0.0
    silences: int = 0


class JupyterWatch(Rounds):
    """Asks each Jupyter whether it answers, every second until it does and every ten from then on.

    From a thread of its own: a guest that takes its time to answer delays nothing but this.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Callable[[], float] = time.monotonic,
        probe: Callable[[str, int], bool] = jupyter_answers,
    ) -> None:
        super().__init__(engine, name="jupyter", pause_seconds=_ROUND_SECONDS)
        self._clock = clock
        self._probe = probe
        self._runs: dict[str, _Run] = {}

    def look_at(self, slot: Slot, container: ContainerFacts, desired: DesiredTask) -> bool:
        if desired.spec.jupyter is None:
            return False
        run = self._runs.get(container.container_id)
        if run is None or run.started_at != container.started_at:
            run = self._runs[container.container_id] = _Run(container.started_at)
            slot.jupyter = None
        if self._clock() < run.due:
            return False
        known, slot.jupyter = slot.jupyter, self._learn(slot.jupyter, run, container, desired)
        is_steady = slot.jupyter == _READY and run.silences == 0
        run.due = self._clock() + (_READY_PAUSE_SECONDS if is_steady else _PAUSE_SECONDS)
        return known != slot.jupyter

    def forget_others(self, container_ids: set[str]) -> None:
        self._runs = {key: run for key, run in self._runs.items() if key in container_ids}

    def _learn(
        self, known: JupyterReport | None, run: _Run, container: ContainerFacts, desired: DesiredTask
    ) -> JupyterReport | None:
        if self._probe(*endpoint(desired.spec, container.address)):
            run.silences = 0
            return _READY
        run.silences += 1
        if known == _READY and run.silences < _MOST_SILENCES:
            return known
        try:
            return parse(self._engine.read_files(container.container_id, DIRECTORY, MOST_BYTES))
        except (ContainerGoneError, TaskError):
            return known if known != _READY else None
