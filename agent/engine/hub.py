"""One watch over the engine for all agents of the process: its events, what they missed, and whether it is there."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

from agent.engine.types import Engine, EngineDownError, EngineInfo
from agent.logs import say

_log = logging.getLogger(__name__)

_TICK_SECONDS = 10.0
_DOWN_TICK_SECONDS = 1.0
_STREAM_RETRY_SECONDS = 0.5


class Subscriber(Protocol):
    """What an agent's reconciler offers."""

    def on_event(self, task_id: int) -> None: ...

    def on_listing(self, running: dict[int, bool]) -> None: ...

    def on_engine_back(self) -> None: ...


class EngineHub:
    """``start`` it once; ``error`` says in plain words why the engine can't be used, None while it can."""

    def __init__(self, engine: Engine, on_up: Callable[[], None] = lambda: None) -> None:
        self.engine = engine
        self.info: EngineInfo | None = None
        self.error: str | None = "The container engine has not been reached yet."
        self._on_up = on_up
        self._subscribers: dict[str, tuple[Subscriber, Callable[[], None]]] = {}
        self._maybe_restarted = False
        self._look_now = threading.Event()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Look at the engine once, then keep watching from daemon threads."""
        self._look()
        threading.Thread(target=self._watch, name="engine-watch", daemon=True).start()
        threading.Thread(target=self._listen, name="engine-events", daemon=True).start()

    def stop(self) -> None:
        """Let the threads end when they next wake."""
        self._stopping.set()
        self._look_now.set()

    def subscribe(self, owner: str, subscriber: Subscriber, on_error_change: Callable[[], None]) -> None:
        """Tell ``subscriber`` about the containers of ``owner``, beginning with a listing."""
        self._subscribers[owner] = (subscriber, on_error_change)
        if self.error is None:
            try:
                self._dispatch_listing(owner)
            except EngineDownError as error:
                self.report_down(str(error))

    def unsubscribe(self, owner: str) -> None:
        self._subscribers.pop(owner, None)

    def report_down(self, error: str) -> None:
        """Someone could not reach the engine."""
        self._set_error(error)
        self._look_now.set()

    def data_root(self) -> str | None:
        """The engine's directory; None before it was reached."""
        return self.info.data_root if self.info else None

    def _watch(self) -> None:
        while not self._stopping.is_set():
            self._look_now.wait(_TICK_SECONDS if self.error is None else _DOWN_TICK_SECONDS)
            if self.error is not None:
                self._stopping.wait(_STREAM_RETRY_SECONDS)
            self._look_now.clear()
            self._look()

    def _look(self) -> None:
        """Notice an engine that came back or went away; tell everyone what runs."""
        try:
            if self.error is not None or self._maybe_restarted:
                self._come_up()
            self._dispatch_listing()
        except EngineDownError as error:
            self._set_error(str(error))

    def _come_up(self) -> None:
        self._maybe_restarted = False
        self.info = self.engine.info()
        self.engine.sweep_networks()
        self._on_up()
        self._set_error(None)
        for subscriber, _ in list(self._subscribers.values()):
            subscriber.on_engine_back()

    def _dispatch_listing(self, only_owner: str | None = None) -> None:
        running: dict[str, dict[int, bool]] = defaultdict(dict)
        for container in self.engine.owned():
            running[container.owner][container.task_id] = container.running
        for owner, (subscriber, _) in list(self._subscribers.items()):
            if only_owner in (None, owner):
                subscriber.on_listing(running[owner])

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                for event in self.engine.events():
                    if entry := self._subscribers.get(event.owner):
                        entry[0].on_event(event.task_id)
            except EngineDownError as error:
                self._set_error(str(error))
            # Events may have been missed, and an engine that ends its stream may have been quick to start again.
            self._maybe_restarted = True
            self._look_now.set()
            self._stopping.wait(_STREAM_RETRY_SECONDS)

    def _set_error(self, error: str | None) -> None:
        if error == self.error:
            return
        self.error = error
        if error is None:
            say(_log, "engine_up", version=self.info.version if self.info else "")
        else:
            say(_log, "engine_down", level=logging.WARNING, error=error)
        for _, on_error_change in list(self._subscribers.values()):
            on_error_change()
