"""Keeps the volumes that clients rent on this machine: makes them, tells of them, and deletes them when asked to.

Nothing is remembered: the engine knows what there is, and the server says in every reply what there should be and which
volumes may still have to be made. So an agent that was killed anywhere, and messages that were lost or doubled, change
nothing. A volume is deleted only when the server names it as one to be removed, never for being absent.
"""

import logging
import threading
from collections.abc import Callable

from agent.engine.labels import OWNER_LABEL
from agent.engine.types import (
    Engine,
    EngineDownError,
    TaskError,
)
from agent.logs import say
from agent.pool import Pool
from agent.tasks.plan import Identity, volume_labels, volume_name
from agent.tasks.tools import Checkpoint, no_checkpoint, no_volume
from agent.volume_protocol import DesiredVolume, ObservedVolume, VolumeState

_log = logging.getLogger(__name__)


class VolumeKeeper:
    """``on_change`` is called, from any thread, when what ``reports`` returns has news."""

    def __init__(
        self,
        *,
        engine: Engine,
        identity: Identity,
        pool: Pool,
        on_change: Callable[[], None],
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        self._engine = engine
        self._identity = identity
        self._pool = pool
        self._on_change = on_change
        self._checkpoint = checkpoint
        self._lock = threading.Lock()
        self._acting = threading.Lock()
        """Held by whoever makes or deletes a volume, so that each acts on the newest wish."""
        self._wanted: dict[int, DesiredVolume] | None = None
        self._seen: dict[int, ObservedVolume] = {}
        self._used_mb: dict[int, int] = {}
        self._busy = self._again = self._retired = False

    def apply(self, wanted: list[DesiredVolume] | None) -> None:
        """Take the server's complete wishes, and compare with what is, news or not; None says nothing."""
        if wanted is None:
            return
        with self._lock:
            self._wanted = {one.volume_id: one for one in wanted}
            self._seen = {key: one for key, one in self._seen.items() if key in self._wanted}
            self._used_mb = {key: used for key, used in self._used_mb.items() if key in self._wanted}
            if not self._wanted or self._retired:
                return
            self._again = True
            if self._busy:
                return
            self._busy = True
        self._pool.submit(self._serve)

    def retire(self) -> None:
        """Begin nothing any more: somebody else takes over."""
        with self._lock:
            self._retired = True

    def reports(self) -> list[ObservedVolume] | None:
        """What is known of the listed volumes; None before any list."""
        with self._lock:
            if self._wanted is None:
                return None
            return [self._told(one) for one in self._seen.values()]

    def provide(self, volume_id: int) -> None:
        """A container is about to get this volume: make it if it may have to be made.

        Raises ``TaskError`` where it is lost, and ``EngineDownError``.
        """
        with self._acting:
            wish = self._wish(volume_id)
            if wish is None or wish.state == "removed":
                no_volume(volume_id)
                return
            seen = self._brought_about(wish, self._names())
        self._note(seen)
        if seen.state != "present":
            raise TaskError(
                "volume_missing",
                seen.message
                or f"The volume {wish.label} was deleted on the host by something other than the "
                "marketplace, and its data with it. Destroy the instance, delete the volume, and rent again.",
            )

    def kept(self) -> list[DesiredVolume]:
        """Those that are there and should be."""
        with self._lock:
            wanted, seen = self._wanted or {}, self._seen
            return [one for key, one in wanted.items() if key in seen and seen[key].state == "present"]

    def name(self, volume_id: int) -> str:
        """What the engine calls it."""
        return volume_name(self._identity, volume_id)

    def measured(self, volume_id: int) -> bool:
        """Whether its use is known."""
        return volume_id in self._used_mb

    def note_use(self, volume_id: int, used_mb: int) -> None:
        """It was measured."""
        with self._lock:
            self._used_mb[volume_id] = used_mb

    def _told(self, seen: ObservedVolume) -> ObservedVolume:
        return ObservedVolume(
            volume_id=seen.volume_id,
            state=seen.state,
            used_mb=self._used_mb.get(seen.volume_id),
            message=seen.message,
        )

    def _serve(self) -> None:
        while self._next_round():
            try:
                self._settle()
            except EngineDownError as error:
                say(_log, "volumes_wait", level=logging.WARNING, why=error)
            except Exception:
                _log.exception("volumes_failed")

    def _next_round(self) -> bool:
        with self._lock:
            self._busy = self._again and not self._retired
            self._again = False
            return self._busy

    def _settle(self) -> None:
        """Each volume once. What the engine refuses is tried again when the server speaks next."""
        for volume_id in list(self._wanted or {}):
            with self._acting:
                wish = self._wish(volume_id)
                if wish is None:
                    continue
                seen = self._brought_about(wish, self._names())
            self._note(seen)

    def _wish(self, volume_id: int) -> DesiredVolume | None:
        with self._lock:
            return (self._wanted or {}).get(volume_id)

    def _names(self) -> set[str]:
        return self._engine.volume_names(f"{OWNER_LABEL}={self._identity.owner}")

    def _brought_about(self, wish: DesiredVolume, names: set[str]) -> ObservedVolume:
        """The volume after what is due was done about it."""
        is_there = self.name(wish.volume_id) in names
        if wish.state == "removed":
            return self._removed(wish) if is_there else _observed(wish, "removed")
        if is_there:
            return _observed(wish, "present")
        before = self._seen.get(wish.volume_id)
        if not wish.may_create or (before is not None and before.state == "present"):
            return _observed(wish, "missing")
        return self._made(wish)

    def _made(self, wish: DesiredVolume) -> ObservedVolume:
        name = self.name(wish.volume_id)
        self._checkpoint("volume_making", wish.volume_id)
        try:
            labels = volume_labels(self._identity, wish.volume_id)
            self._engine.make_volume(name, labels, wish.size_gb, reserved=not self._identity.simulated)
        except TaskError as error:
            return _observed(wish, "failed", error.message)
        self._checkpoint("volume_made", wish.volume_id)
        say(_log, "volume_made", volume=wish.volume_id, name=name)
        return _observed(wish, "present")

    def _removed(self, wish: DesiredVolume) -> ObservedVolume:
        """The engine deletes no volume that a container has: then it is there until that one is gone."""
        name = self.name(wish.volume_id)
        self._checkpoint("volume_deleting", wish.volume_id)
        try:
            self._engine.drop_volumes([name])
        except TaskError as error:
            say(_log, "volume_stays", level=logging.WARNING, volume=wish.volume_id, message=error.message)
            return _observed(wish, "present")
        self._checkpoint("volume_deleted", wish.volume_id)
        say(_log, "volume_deleted", volume=wish.volume_id, name=name)
        return _observed(wish, "removed")

    def _note(self, seen: ObservedVolume) -> None:
        with self._lock:
            if seen.volume_id not in (self._wanted or {}):
                return
            news = self._seen.get(seen.volume_id) != seen
            self._seen[seen.volume_id] = seen
        if news:
            self._on_change()


def _observed(wish: DesiredVolume, state: VolumeState, message: str = "") -> ObservedVolume:
    return ObservedVolume(volume_id=wish.volume_id, state=state, message=message)
