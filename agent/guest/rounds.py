"""Going round all tasks of all agents in the process, from one thread, to learn what their containers tell."""

import abc
import logging
import threading
from collections.abc import Callable

from agent.engine.types import ContainerFacts, Engine, EngineDownError
from agent.protocol import DesiredTask
from agent.tasks.reconciler import Reconciler
from agent.tasks.slot import Slot

_log = logging.getLogger(__name__)


class Rounds(abc.ABC):
    """A subclass says in ``look_at`` what there is to learn of one task whose container runs and answers over SSH."""

    def __init__(self, engine: Engine, *, name: str, pause_seconds: float) -> None:
        self._engine = engine
        self._name = name
        self._pause_seconds = pause_seconds
        self._watched: list[tuple[Reconciler, Callable[[], None]]] = []
        self._stopping = threading.Event()

    def watch(self, reconciler: Reconciler, on_news: Callable[[], None]) -> None:
        """``on_news`` is called when a task of the reconciler's has something new to tell."""
        self._watched.append((reconciler, on_news))

    def unwatch(self, reconciler: Reconciler) -> None:
        self._watched = [entry for entry in self._watched if entry[0] is not reconciler]

    def start(self) -> None:
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def look(self) -> None:
        """One round."""
        seen: set[str] = set()
        for reconciler, on_news in list(self._watched):
            news = [self._look_once(slot, seen) for slot in reconciler.slots()]
            if any(news):
                on_news()
        self.forget_others(seen)

    @abc.abstractmethod
    def look_at(self, slot: Slot, container: ContainerFacts, desired: DesiredTask) -> bool:
        """Note on the slot what there is to learn; whether that is news. Raises ``EngineDownError``."""

    @abc.abstractmethod
    def forget_others(self, container_ids: set[str]) -> None:
        """Keep nothing of other containers than these."""

    def _run(self) -> None:
        while not self._stopping.wait(self._pause_seconds):
            try:
                self.look()
            except EngineDownError:
                continue
            except Exception:
                _log.exception("round_failed name=%s", self._name)

    def _look_once(self, slot: Slot, seen: set[str]) -> bool:
        container, desired, observed = slot.facts, slot.desired, slot.observation
        if container is None or desired is None or observed is None or desired.spec.mode != "ssh":
            return False
        if container.status != "running" or observed.phase != "running":
            return False
        seen.add(container.container_id)
        return self.look_at(slot, container, desired)
