"""Deletes images that nobody needs when the engine's disk gets full, those first that were not used for longest."""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from agent.engine.image_types import ImageEngine, ImageFacts
from agent.engine.types import EngineDownError, TaskError
from agent.images.fetched import FetchedImages
from agent.images.rule import Disk, dispensable
from agent.logs import say

_log = logging.getLogger(__name__)

_NOTE_SECONDS = 300.0
"""So often it is noted which images are in use."""
_PATIENCE_SECONDS = 60.0
"""After a look at a full disk that brought nothing more, until the next."""
_MB = 1 << 20
_GB = 1 << 30


def total_and_free(directory: Path) -> tuple[int, int]:
    """Bytes of the file system that this is on, without what is kept for root alone. Raises ``OSError``."""
    usage = shutil.disk_usage(directory)
    return usage.used + usage.free, usage.free


class Janitor:
    """``tick`` it every few seconds. ``wanted`` names the images that tasks are made of, or are to be."""

    def __init__(
        self,
        *,
        engine: ImageEngine,
        fetched: FetchedImages,
        wanted: Callable[[], Collection[str]],
        data_root: Callable[[], str | None],
        floor_gb: float,
        submit: Callable[[Callable[[], None]], None],
        usage: Callable[[Path], tuple[int, int]] = total_and_free,
        clock: Callable[[], float] = time.time,
        pulse: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._fetched = fetched
        self._wanted = wanted
        self._data_root = data_root
        self._floor_bytes = int(floor_gb * _GB)
        self._submit = submit
        self._usage = usage
        self._clock = clock
        self._pulse = pulse
        self._due = 0.0
        self._next_look = 0.0
        self._busy = threading.Lock()

    def tick(self) -> None:
        """Begin a round on another thread if one is due, and none is under way."""
        now = self._pulse()
        is_full = now >= self._next_look and self._is_full()
        if not (is_full or now >= self._due) or not self._busy.acquire(blocking=False):
            return
        self._due, self._next_look = now + _NOTE_SECONDS, now + _PATIENCE_SECONDS
        self._submit(self._round)

    def _is_full(self) -> bool:
        disk = self._disk()
        return disk is not None and disk.is_full

    def _round(self) -> None:
        try:
            self.look()
        except (EngineDownError, TaskError, OSError) as error:
            say(_log, "janitor_waits", level=logging.WARNING, why=error)
        finally:
            self._busy.release()

    def look(self) -> None:
        """Note what is in use; where the disk is full, delete until it is not, or nothing is left to delete.

        Raises ``EngineDownError``, ``TaskError``.
        """
        self._fetched.settle()
        images = self._engine.list_images()
        wanted = {self._engine.image_id(name) or "" for name in set(self._wanted())}
        used = {image.image_id for image in images if image.in_use} | wanted
        self._fetched.needed({image.image_id for image in images}, used)
        if not self._is_full():
            return
        for image in dispensable(images, self._fetched.known(), wanted, self._clock()):
            disk = self._disk()
            if disk is None or disk.is_relieved:
                return
            self._delete(image)

    def _delete(self, image: ImageFacts) -> None:
        """By its names; the engine refuses where a container was made of it meanwhile."""
        try:
            for name in sorted(image.names) or [image.image_id]:
                self._engine.drop_image(name)
        except TaskError as error:
            say(_log, "image_stays", level=logging.WARNING, image=_named(image), why=error)
            return
        unused = self._clock() - self._fetched.known()[image.image_id].used_at
        say(_log, "image_deleted", image=_named(image), size_mb=image.size_bytes // _MB, unused_seconds=unused)

    def _disk(self) -> Disk | None:
        """None where it can't be seen from here."""
        root = self._data_root()
        if root is None:
            return None
        try:
            total, free = self._usage(Path(root))
        except OSError:
            return None
        return Disk(total, free, self._floor_bytes)


def _named(image: ImageFacts) -> str:
    return ",".join(sorted(image.names)) or image.image_id
