"""Remembers which images the agent has fetched, and when each was last needed.

Before a fetch begins it is written down with what was there, so that being killed leaves no image that nobody owns up
to; what was there before is never the agent's.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from agent.engine.image_types import ImageEngine
from agent.engine.types import EngineDownError, TaskError
from agent.images.rule import Fetched
from agent.logs import say
from agent.tasks.memory import write_durably

_log = logging.getLogger(__name__)


class _Notes(msgspec.Struct, frozen=True, kw_only=True):
    """``begun``: by the name of an image that is being fetched, the ids of all that were there before."""

    images: dict[str, Fetched] = {}
    begun: dict[str, list[str]] = {}


class FetchedImages:
    """One for an agent; safe to share between threads. ``clock`` in seconds since 1970."""

    def __init__(self, directory: Path, engine: ImageEngine, clock: Callable[[], float] = time.time) -> None:
        self._file = directory / "fetched-images.json"
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._notes = self._load()
        self._busy: dict[str, int] = {}
        """How many fetch an image of this name right now."""

    def _load(self) -> _Notes:
        """What can't be read says nothing: then nothing here counts as the agent's, and nothing is deleted."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Notes)
        except FileNotFoundError:
            return _Notes()
        except (OSError, msgspec.DecodeError) as error:
            say(_log, "fetched_images_unreadable", level=logging.WARNING, why=error)
            return _Notes()

    @contextmanager
    def fetching(self, image: str) -> Iterator[None]:
        """The image is fetched inside the block. Raises ``EngineDownError`` before it."""
        self._begin(image)
        try:
            yield
        finally:
            self._end(image)

    def known(self) -> dict[str, Fetched]:
        """By image id."""
        with self._lock:
            return dict(self._notes.images)

    def needed(self, present: Collection[str], used: Collection[str]) -> None:
        """These images are all there are, and those of them are in use or wanted: note it, and forget what is gone."""
        now = self._clock()
        with self._lock:
            kept = {key: one for key, one in self._notes.images.items() if key in present}
            for key in kept.keys() & set(used):
                kept[key] = Fetched(names=kept[key].names, used_at=now)
            self._write(msgspec.structs.replace(self._notes, images=kept))

    def settle(self) -> None:
        """Own up to what was fetched while an agent was killed, or the engine went away. Raises ``EngineDownError``."""
        with self._lock:
            left = [image for image in self._notes.begun if image not in self._busy]
        for image in left:
            self._note(image)

    def _begin(self, image: str) -> None:
        present = sorted(one.image_id for one in self._engine.list_images())
        with self._lock:
            self._busy[image] = self._busy.get(image, 0) + 1
            if image not in self._notes.begun:
                self._write(msgspec.structs.replace(self._notes, begun={**self._notes.begun, image: present}))

    def _end(self, image: str) -> None:
        with self._lock:
            self._busy[image] -= 1
            if self._busy[image]:
                return
            del self._busy[image]
        try:
            self._note(image)
        except (EngineDownError, TaskError) as error:
            say(_log, "image_not_noted", level=logging.WARNING, image=image, why=error)

    def _note(self, image: str) -> None:
        """What has come under this name is the agent's, unless it was there before it was asked for."""
        image_id = self._engine.image_id(image)
        names = frozenset(next((one.names for one in self._engine.list_images() if one.image_id == image_id), ()))
        with self._lock:
            before = self._notes.begun.get(image)
            if before is None or image in self._busy:
                return
            images = dict(self._notes.images)
            known = images.get(image_id) if image_id else None
            if image_id and (known or image_id not in before):
                images[image_id] = Fetched(names=names | (known.names if known else names), used_at=self._clock())
            begun = {key: ids for key, ids in self._notes.begun.items() if key != image}
            self._write(_Notes(images=images, begun=begun))

    def _write(self, notes: _Notes) -> None:
        """A full disk, of all things, must not keep images from going: then memory has to do."""
        if notes == self._notes:
            return
        self._notes = notes
        try:
            write_durably(self._file, msgspec.json.encode(notes))
        except OSError as error:
            say(_log, "fetched_images_not_written", level=logging.WARNING, why=error)
